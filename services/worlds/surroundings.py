"""What results say about themselves beside the records: counts, pages, status texts, no errors."""

from __future__ import annotations

import re
from typing import Any, Final

from schemas.catalog import Json
from services.worlds.words import listed

_ERRORS: Final = frozenset(
    listed("error errors warning warnings fault faults exception errormessage errorcode")
)
_NEXT: Final = frozenset(
    listed(
        "next nextpage nextpagetoken nexttoken nextlink nexturl nextcursor cursor prev previous "
        "prevpage previouspage continuationtoken odatanextlink after before endcursor startcursor "
        "scrollid pagetoken nextrecordsurl"
    )
)
_COUNTS: Final = frozenset(
    listed(
        "total count totalcount totalresults totalitems numfound totalrecords resultcount totalsize "
        "size numberofresults itemcount returned length totalelements numberofelements totalhits "
        "found recordcount nbhits"
    )
)


_COUNTING: Final = re.compile(
    r"(total|num|number|overall)(of)?(record|result|item|element|hit|row|entr|match|document|object)\w{0,3}"
    r"(count)?|(record|result|item|element|hit|row|entry|match)s?(count|total)"
)
_PAGE: Final = re.compile(r"(current|this)?page(number|no|num|index)?")
_PAGES: Final = re.compile(r"(total|num|number|last|max)(of)?pages?(count|number)?|pages?(count|total)|pages")
_PAGE_SIZE: Final = re.compile(r"(per|max|items|results)?(per)?pages?(size|limit)|\w*perpage")


def counts(key: str) -> bool:
    """Whether a field of this normalized name counts the entries of the list that it stands beside."""
    return (key in _COUNTS and key not in {"size", "length"}) or _COUNTING.fullmatch(key) is not None


def _page(key: str, given: Json) -> Any:
    if _PAGES.fullmatch(key):
        return 1
    if _PAGE.fullmatch(key):
        return given.get(key, 1)
    return given.get(key, 20) if _PAGE_SIZE.fullmatch(key) else None


def silent(key: str) -> bool:
    """Whether a field of this normalized name is left out of a successful, complete result."""
    return key in _ERRORS or key in _NEXT or key.startswith(("next", "prev"))


def told(key: str, which: str, given: Json, total: int) -> Any:
    """The value of a field of this normalized name and JSON type; None where the name says nothing.

    ``given`` are the call's arguments by normalized name, ``total`` counts all matching records.
    """
    if "page" in key and which in {"integer", "number", "string"}:
        paged = _page(key, given)
        if paged is not None:
            return paged if which != "string" else str(paged)
    if (
        key in _COUNTS
        or key.startswith(("totalcount", "totalresult", "totalnum"))
        or _COUNTING.fullmatch(key)
    ):
        return total if which != "string" else str(total)
    if key in {"page", "currentpage", "pagenumber", "pageno"}:
        return given.get(key, 1)
    if key in {"totalpages", "pages", "pagecount", "lastpage", "numpages"}:
        return 1
    if key in {"perpage", "pagesize", "limit", "itemsperpage"}:
        return given.get(key, 20)
    if key in {"offset", "start", "skip", "startindex"}:
        return given.get(key, 0)
    if key.startswith(("has", "ismore", "more")) or key in {
        "truncated",
        "istruncated",
        "incompleteresults",
    }:
        return False if which == "boolean" else None
    if key in {"success", "ok", "successful", "issuccess"}:
        return True if which == "boolean" else None
    if key in {"status", "code", "statuscode", "httpstatus", "responsecode", "returncode"}:
        return {"integer": 200, "number": 200, "string": "success", "boolean": True}.get(which)
    if key in {"message", "msg", "returnmessage", "responsemessage"}:
        return "Request completed" if which == "string" else None
    if silent(key) or key.startswith(("errormessage", "errordescription")):
        return {"string": "", "integer": 0, "number": 0, "boolean": False}.get(which)
    return None
