"""Tables are whole where no terminal says how wide it is."""

from rich.table import Table

from lincfa.terminal import table_console


def test_a_table_in_a_pipe_is_as_wide_as_its_cells_need_and_no_wider(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    cells = [f"{number} with words that could be broken" for number in range(6)]
    table = Table()
    for cell in cells:
        table.add_column(cell)
    table.add_row(*cells)
    table_console().print(table)
    lines = capsys.readouterr().out.splitlines()
    assert [line.count(cells[-1]) for line in lines] == [0, 1, 0, 1, 0]
    assert {len(line) for line in lines} == {6 * (len(cells[0]) + 3) + 1}


def test_a_terminal_says_its_width_itself(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert table_console().width == 40
