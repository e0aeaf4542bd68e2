"""A page of HTML, taken apart."""

from __future__ import annotations

from html.parser import HTMLParser

_VOID = {"meta", "link", "br", "path", "rect"}


class ParsedPage(HTMLParser):
    """The elements of a page, of which each that is opened must be closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.texts = [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    def stands_alone(self) -> bool:
        """Tell whether it has no scripts, and asks for nothing from elsewhere."""
        tags = {tag for tag, _ in self.elements}
        links = [attrs.get(name, "#") for _, attrs in self.elements for name in ("href", "src")]
        return tags.isdisjoint({"script", "img", "iframe", "object", "form"}) and all(
            link.startswith(("#", "data:,")) for link in links
        )
