"""The record of how an image was made, inside its XMP packet: the one place that all formats have."""

from __future__ import annotations

import html
import json
import re
from typing import Any

from ..provenance import is_record

NAMESPACE = "urn:esc-plugin:1.0/"
END = b"</rdf:RDF>"
EMPTY = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '</rdf:RDF></x:xmpmeta>\n<?xpacket end="w"?>'
).encode()
#: As it is written here, and as an attribute or an element after another program has written the packet anew.
WRITTEN = re.compile(rb'<rdf:Description rdf:about="" xmlns:esc="[^"]*" esc:provenance="([^"]*)"/>')
ANEW = re.compile(rb"<esc:provenance>([^<]*)</esc:provenance>|\besc:provenance=(?:\"([^\"]*)\"|'([^']*)')")


def with_record(xmp: bytes | None, record: dict[str, Any]) -> bytes | None:
    """Return a packet with a record; as it was if there is no record, or no place in it."""
    packet = xmp or EMPTY
    place = packet.rfind(END)
    if not record or place < 0:
        return xmp
    text = html.escape(json.dumps(record, separators=(",", ":")))
    element = f'<rdf:Description rdf:about="" xmlns:esc="{NAMESPACE}" esc:provenance="{text}"/>'
    return packet[:place] + element.encode() + packet[place:]


def split_record(xmp: bytes | None) -> tuple[dict[str, Any], bytes | None]:
    """Return the record of a packet, empty if there is none, and the packet without it."""
    found = xmp and (WRITTEN.search(xmp) or ANEW.search(xmp))
    if not xmp or not found:
        return {}, xmp
    # With nothing in its place, what stands around it could become another one.
    rest = ANEW.sub(b" ", WRITTEN.sub(b"", xmp))
    return _parsed(next(group for group in found.groups() if group is not None)), None if rest == EMPTY else rest


def _parsed(text: bytes) -> dict[str, Any]:
    try:
        record = json.loads(html.unescape(text.decode()))
    except (ValueError, RecursionError):
        return {}
    return record if is_record(record) else {}
