import json

from nightshift.gates import catalogue


def test_the_catalogue_is_what_the_installed_great_expectations_knows() -> None:
    assert json.loads(catalogue.FILE.read_text()) == catalogue.generate(), "run python -m nightshift.gates.catalogue"


def test_only_map_expectations_are_row_level() -> None:
    found = json.loads(catalogue.FILE.read_text())
    assert found["expect_column_values_to_be_between"]["row_level"]
    assert found["expect_compound_columns_to_be_unique"]["row_level"]
    assert not found["expect_table_row_count_to_be_between"]["row_level"]
    assert not found["expect_column_mean_to_be_between"]["row_level"]


def test_arguments_have_json_types_and_columns_are_named() -> None:
    found = json.loads(catalogue.FILE.read_text())["expect_column_pair_values_a_to_be_greater_than_b"]
    assert found["columns"] == ["column_A", "column_B"]
    assert found["arguments"]["column_A"] == {"required": True, "types": ["string"]}
    assert found["arguments"]["or_equal"] == {"required": False, "types": ["boolean"]}


def test_what_one_pandas_frame_cannot_answer_is_left_out() -> None:
    found = json.loads(catalogue.FILE.read_text())
    assert "unexpected_rows_expectation" not in found
    assert "expect_column_values_to_match_like_pattern" not in found
    assert "expect_table_row_count_to_equal_other_table" not in found
