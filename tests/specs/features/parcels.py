"""The feature module that the specs beside it name; nothing runs it."""


def build(inputs, days):
    return inputs["orders"]


def label(inputs, days):
    return inputs["deliveries"]
