"""Lines of text files and the errors that name them."""

import os

import pytest

from head2head.files import no_formula, numbered_lines, read_bytes


def lines_of(path):
    return list(numbered_lines(path))


def test_lines_are_numbered_from_one_with_and_without_a_last_newline(write):
    assert lines_of(write("a", "x\ny\n")) == [(1, "x"), (2, "y")]
    assert lines_of(write("b", "x\ny")) == [(1, "x"), (2, "y")]


def test_empty_lines_are_lines(write):
    assert lines_of(write("a", "x\n\ny\n\n")) == [(1, "x"), (2, ""), (3, "y"), (4, "")]


def test_windows_line_ends_and_the_byte_order_mark_are_removed(write):
    assert lines_of(write("a", b"\xef\xbb\xbfx\r\ny\r\n")) == [(1, "x"), (2, "y")]


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\r"])
def test_only_newlines_end_a_line(write, separator):
    assert lines_of(write("a", f"x{separator}y\nz\n")) == [(1, f"x{separator}y"), (2, "z")]


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n", b" \t\n"])
def test_a_file_without_content_is_an_error(write, error_of, content):
    path = write("a", content)
    assert error_of(lines_of, path) == f"{path}: the file is empty"


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_invalid_utf8_is_an_error_with_line_and_byte(write, error_of, mark):
    path = write("a", mark + b"x\ny\n\xe9t\xe9\n")
    assert error_of(lines_of, path) == f"{path}:3: not valid UTF-8 (byte 0xe9)"


def test_a_missing_file_and_a_missing_folder_are_told_apart(tmp_path, error_of):
    assert error_of(read_bytes, tmp_path / "a") == f"{tmp_path / 'a'}: no such file"
    deep = tmp_path / "no" / "such" / "a"
    assert error_of(read_bytes, deep) == f"{deep}: there is no folder {tmp_path / 'no'}"


def test_a_folder_in_place_of_a_file_is_an_error(tmp_path, error_of):
    assert error_of(read_bytes, tmp_path).startswith(f"{tmp_path}: cannot be read: ")


@pytest.mark.parametrize("end", ["\ufeff", "\ufeff\n"])
def test_a_byte_order_mark_at_the_end_is_removed(write, end):
    assert lines_of(write("a", f"x\ny\n{end}")) == [(1, "x"), (2, "y")]
    assert lines_of(write("b", f"x\n\ufeffy\n{end}")) == [(1, "x"), (2, "\ufeffy")]


def test_a_pipe_is_an_error_and_nobody_waits_for_it(tmp_path, error_of):
    os.mkfifo(tmp_path / "pipe")
    assert error_of(read_bytes, tmp_path / "pipe") == f"{tmp_path / 'pipe'}: cannot be read: not a file on disk"


@pytest.mark.parametrize("text", ["=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "- a", "+x", "-"])
def test_what_a_spreadsheet_would_evaluate_gets_an_apostrophe(text):
    assert no_formula(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", "x", "a=b", "-0.5", "+1.25", "-1e-05", "1", "'=1"])
def test_numbers_and_other_texts_stay_as_they_are(text):
    assert no_formula(text) == text
