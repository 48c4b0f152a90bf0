"""An HTML page as parsed: its tags, properly nested, and its texts."""
from html.parser import HTMLParser

VOID = {"meta", "img", "br", "input"}


class HtmlPage(HTMLParser):
    """Attributes: open, the tags around the present place; tags, all of them with their attributes; texts; html."""

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.texts, self.html = [], [], [], html
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    def of(self, tag):
        """The attributes of every such tag."""
        return [attributes for name, attributes in self.tags if name == tag]
