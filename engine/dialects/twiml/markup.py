"""From the bytes of an answer to a tree of elements, whoever sent them.

Laws: no document type, hence no entities but the five of XML and no files; size, depth, number of elements and length
of attributes have bounds; whatever the bytes are, the end is a tree or a `TwimlError`, which repeats none of them.
Encoding: a byte order mark, else the charset of the content type (RFC 7303 §3), else the XML declaration, else UTF-8.
Names stay as written, prefixes included: applications write ``<amazon:effect>`` without declaring ``amazon``.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from io import BytesIO
from traceback import clear_frames
from xml.parsers import expat
from xml.sax import SAXException, SAXParseException
from xml.sax.handler import ContentHandler
from xml.sax.saxutils import escape, quoteattr
from xml.sax.xmlreader import AttributesImpl, InputSource, Locator

from defusedxml import DefusedXmlException
from defusedxml.sax import make_parser

from engine.dialects.twiml.errors import CONTENT_TYPE, DOCUMENT_PARSE, TwimlError

__all__ = (
    "MAX_ATTRIBUTES",
    "MAX_ATTRIBUTE_CHARS",
    "MAX_DEPTH",
    "MAX_DOCUMENT_BYTES",
    "MAX_ELEMENTS",
    "Element",
    "read",
)

MAX_DOCUMENT_BYTES = 64 * 1024
MAX_DEPTH = 16
"Of elements within each other; a prompt of a payment with SSML in it needs eight."
MAX_ELEMENTS = 1000
MAX_ATTRIBUTES = 64
"Of one element; no verb has half as many."
MAX_ATTRIBUTE_CHARS = 4096

_XML_TYPES = frozenset({"", "text/xml", "application/xml", "text/html", "application/xhtml+xml"})
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_WITHOUT_MARK = ((b"<\x00", "utf-16-le"), (b"\x00<", "utf-16-be"))
_CHARSET = re.compile(r";\s*charset\s*=\s*\"?([A-Za-z0-9_.:-]{1,40})", re.IGNORECASE)
_DECLARED = re.compile(rb"""<\?xml\s[^>]{0,80}?encoding\s*=\s*["']([A-Za-z0-9_.:-]{1,40})["']""")
# Python knows more codecs than one would let a stranger choose from, some of them slow.
_TAKEN = re.compile(r"utf-8|utf-16(-[lb]e)?|ascii|iso8859-\d{1,2}|cp125\d|koi8-[ru]|shift_jis|euc_jp|gbk?|gb18030|big5")


@dataclass(slots=True)
class Element:
    """An element with what stands in it, in order."""

    name: str
    attributes: dict[str, str]
    line: int
    content: list[Element | str] = field(default_factory=list)

    @property
    def children(self) -> list[Element]:
        """The elements in it."""
        return [item for item in self.content if isinstance(item, Element)]

    @property
    def text(self) -> str:
        """The text right in it, without that of its children; white space collapsed."""
        return " ".join("".join(item for item in self.content if isinstance(item, str)).split())

    def markup(self) -> str:
        """Return what stands in it as markup again, each character that means something escaped."""
        return "".join(_written(item) for item in self.content)


def read(body: bytes, *, content_type: str = "", max_bytes: int = MAX_DOCUMENT_BYTES) -> Element:
    """Return the root of a document; raise `TwimlError`, 12300 for what is plainly no XML, else 12100."""
    if len(body) > max_bytes:
        raise _error(f"the document is longer than {max_bytes} bytes; split it with <Redirect>")
    _check_type(body, content_type)
    if not body.strip():
        raise _error("the document is empty; answer with <Response/> to end the call")
    tree = _Tree()
    refusal = _parse(_decoded(body, content_type).encode(), tree)
    if refusal is not None:
        raise TwimlError(refusal.code, str(refusal))  # itself it would be in a cycle with this frame
    if tree.root is None:
        raise _error("there is no element in the document")
    return tree.root


def _parse(text: bytes, tree: _Tree) -> TwimlError | None:
    """Build the tree; return what is wrong with the text, UTF-8."""
    parser = make_parser()
    parser.forbid_dtd = True
    parser.setContentHandler(tree)
    source = InputSource()
    source.setEncoding("utf-8")
    source.setByteStream(BytesIO(text))
    refusal = _failure_of(lambda: parser.parse(source), tree)
    # A parser that failed keeps itself until it is closed, and with it the document.
    _failure_of(parser.close, tree)
    tree.forget_parser()
    return refusal


def _failure_of(step: Callable[[], object], tree: _Tree) -> TwimlError | None:
    """Return why a step of the parser failed, without the frames of it: they hold the document in cycles.

    A document may repeat what a caller keyed.
    """
    try:
        step()
    except (SAXException, DefusedXmlException, TwimlError) as error:
        clear_frames(error.__traceback__)
        return _refusal_for(error, tree.line)
    return None


def _refusal_for(error: Exception, line: int) -> TwimlError:
    if isinstance(error, DefusedXmlException):
        return _error("a document type is not taken; leave <!DOCTYPE> out", line)
    if isinstance(error, SAXParseException):
        fault = error.getException()
        what = expat.ErrorString(fault.code) if isinstance(fault, expat.ExpatError) else None
        remedy = "write & as &amp; and close each tag"
        return _error(f"the XML is broken ({what or 'not well-formed'}); {remedy}", error.getLineNumber() or 0)
    return TwimlError(DOCUMENT_PARSE, str(error))


def _check_type(body: bytes, content_type: str) -> None:
    kind = content_type.partition(";")[0].strip().lower()
    # Frameworks call a document text/plain when they are not told what it is.
    is_markup = body.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"<"
    if kind not in _XML_TYPES and not kind.endswith("+xml") and not (kind == "text/plain" and is_markup):
        raise TwimlError(CONTENT_TYPE, "the answer is no TwiML by its content type; send it as text/xml")


def _decoded(body: bytes, content_type: str) -> str:
    encoding, skipped = _encoding(body, content_type)
    try:
        name = codecs.lookup(encoding).name
        if _TAKEN.fullmatch(name):
            return body[skipped:].decode(name)
    except (LookupError, ValueError):  # an unknown one, or bytes that are not of it
        pass
    raise _error("the document is not in the encoding that it names, or in one not taken here; write it in UTF-8")


def _encoding(body: bytes, content_type: str) -> tuple[str, int]:
    """Return the encoding's name and how many bytes its mark takes."""
    for mark, name in _MARKS:
        if body.startswith(mark):
            return name, len(mark)
    for start, name in _WITHOUT_MARK:
        if body.startswith(start):
            return name, 0
    named = _CHARSET.search(content_type)
    if named:
        return named[1], 0
    declared = _DECLARED.match(body)
    return (declared[1].decode("ascii") if declared else "utf-8"), 0


class _Tree(ContentHandler):
    """Builds the tree, within bounds."""

    def __init__(self) -> None:
        super().__init__()
        self.root: Element | None = None
        self._at: Locator | None = None
        self._open: list[Element] = []
        self._n_elements = 0

    @property
    def line(self) -> int:
        """Where the parser is."""
        return (self._at.getLineNumber() or 0) if self._at is not None else 0

    def setDocumentLocator(self, locator: Locator) -> None:  # noqa: N802
        """Note who knows where the parser is."""
        self._at = locator

    def forget_parser(self) -> None:
        """Let go of the parser, which holds this."""
        self._at = None

    def startElement(self, name: str, attrs: AttributesImpl) -> None:  # noqa: N802
        """Open an element."""
        self._n_elements += 1
        if self._n_elements > MAX_ELEMENTS:
            raise _error(f"more than {MAX_ELEMENTS} elements; split the document with <Redirect>", self.line)
        if len(self._open) >= MAX_DEPTH:
            raise _error(f"nested deeper than {MAX_DEPTH} elements", self.line)
        if len(attrs) > MAX_ATTRIBUTES:
            raise _error(f"more than {MAX_ATTRIBUTES} attributes in one element", self.line)
        attributes = dict(attrs.items())
        if any(len(value) > MAX_ATTRIBUTE_CHARS for value in attributes.values()):
            raise _error(f"an attribute is longer than {MAX_ATTRIBUTE_CHARS} characters", self.line)
        element = Element(name, attributes, self.line)
        if self._open:
            self._open[-1].content.append(element)
        else:
            self.root = element
        self._open.append(element)

    def endElement(self, name: str) -> None:  # noqa: N802
        """Close it."""
        self._open.pop()

    def characters(self, content: str) -> None:
        """Add text."""
        self._open[-1].content.append(content)


def _written(item: Element | str) -> str:
    if isinstance(item, str):
        return escape(item)
    attributes = "".join(f" {name}={quoteattr(value)}" for name, value in item.attributes.items())
    return f"<{item.name}{attributes}>{item.markup()}</{item.name}>"


def _error(what: str, line: int = 0) -> TwimlError:
    return TwimlError(DOCUMENT_PARSE, f"line {line}: {what}" if line else what)
