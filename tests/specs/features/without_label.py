"""A feature module with one function of the wrong signature, and one missing."""


def build(inputs, day):
    return inputs["orders"]
