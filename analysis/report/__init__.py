"""A `Report` drawn for people and machines: terminal, Markdown, HTML, JSON, figures."""
