"""Figures that tests found are told at the end, also when they ran in processes of their own (pytest -n)."""


def pytest_terminal_summary(terminalreporter):
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            for name, value in getattr(report, "user_properties", ()):
                if name == "figure":
                    terminalreporter.write_line(value)
