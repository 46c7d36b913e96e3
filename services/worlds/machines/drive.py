"""A document store: folders, text documents, sharing, and a trash that documents come back from."""

from __future__ import annotations

import random
import re
from typing import Any, Final

from services.worlds.machine import Arguments, State
from services.worlds.machines.definition import (
    Fields,
    choice,
    flag,
    integer,
    limit,
    machine,
    read,
    text,
    write,
)
from services.worlds.machines.records import (
    day,
    email,
    having,
    ids,
    lookup,
    mentioning,
    new_id,
    only,
    page,
    people,
    require,
    some_day,
)

FOLDERS: Final = (
    "Contracts", "Marketing", "Meeting notes", "Invoices 2026", "Archive", "Handover", "Templates",
)  # fmt: skip
DOCUMENTS: Final = (
    ("supplier-agreement.txt", "This agreement runs for 24 months and renews unless cancelled."),
    ("office-lease.txt", "The lease covers 420 square metres on the third floor; rent is due on the first."),
    ("nda-brightwater.txt", "Both parties keep shared information confidential for three years."),
    ("campaign-plan.md", "Goal: 1,200 sign-ups. Channels: newsletter, two podcasts, one trade fair."),
    ("brand-colors.csv", "name,hex\nslate,#334155\ncoral,#ff6f61\nsand,#e7d8b1"),
    ("newsletter-draft.md", "Our spring release brings faster search and a quieter inbox."),
    ("kickoff-notes.md", "Decided: weekly demo on Thursdays. Open: who owns the data migration."),
    ("retro-notes.md", "Keep: pairing. Change: fewer meetings on Mondays. Try: written stand-ups."),
    ("board-minutes.txt", "The board approved the budget and asked for a hiring plan by June."),
    ("invoice-0417.csv", "item,amount\nconsulting,1840.00\ntravel,216.40"),
    ("invoice-0418.csv", "item,amount\nhosting,412.75\nsupport,95.00"),
    ("invoice-overview.csv", "number,paid\n0417,yes\n0418,no"),
)  # fmt: skip

F: Final = Fields(
    query=text("search words", "Words to look for in document names and contents."),
    limit=limit(),
    folder_id=text("folder number", "Folder identifier, for example FLD-20711."),
    folder_name=text("folder name", "Name of the folder.", (
        "Tax documents", "Product photos", "Press kit", "Interview guides", "Travel receipts",
    )),
    document_id=text("document number", "Document identifier, for example DCM-48306."),
    document_name=text("document name", "Name of the document with its extension.", (
        "launch-checklist.md", "quarterly-summary.txt", "guest-list.csv", "risks.md", "packing-list.txt",
    )),
    document_type=choice("document type", "Type of the document, by its extension.", ("txt", "md", "csv")),
    size_bytes=integer("size", "Size of the content in bytes."),
    modified_on=text("last change", "Date of the last change.", format="date"),
    content=text("content", "Text content of the document.", (
        "Final numbers follow on Friday; the draft is good to share.",
        "Bring the signed copies, two badges and the projector adapter.",
        "Revenue grew by 8 percent while costs stayed flat.",
        "Open risks: late delivery of parts, one vacancy in testing.",
        "Doors open at 18:30, speeches start at 19:15.",
    )),
    collaborator_email=text("colleague's email address", "Email address to share with.", (
        "ana.whitaker@lumenpress.com", "tom.reyes@halden.co", "office@oriel-studios.net",
        "j.nakamura@brightwater.org", "legal@tamarindfoods.com",
    ), format="email"),
    access_level=choice("access level", "What they may do.", ("view", "comment", "edit"), default="view"),
    share_id=text("share number", "Identifier of a share, for example SHA-77125."),
    starred=flag("starred", "Whether the document is marked as important."),
)  # fmt: skip

FOLDER: Final = "folder_id folder_name"
SUMMARY: Final = "document_id document_name document_type folder_id size_bytes modified_on"
DOCUMENT: Final = SUMMARY + " starred"
DOCUMENTS_FOUND: Final = F.listing("documents", SUMMARY)
SHARE: Final = "share_id document_id collaborator_email access_level"


def _new_document(document_id: str, folder_id: str, name: str, content: str, today: str) -> Any:
    return {
        "document_id": document_id, "document_name": name, "folder_id": folder_id,
        "document_type": name.rpartition(".")[2],
        "size_bytes": len(content.encode()), "modified_on": today, "starred": False, "content": content,
    }  # fmt: skip


def initial(rng: random.Random) -> State:
    """Seven folders, three of them empty, 12 documents, six shares and three trashed documents."""
    state: State = {"today": some_day(rng), "last_number": {}, "documents": {}, "trash": {}}
    state["folders"] = {
        folder_id: {"folder_id": folder_id, "folder_name": name}
        for folder_id, name in zip(ids(rng, state, "FLD", len(FOLDERS)), FOLDERS, strict=True)
    }
    folders = list(state["folders"])
    numbers = ids(rng, state, "DCM", len(DOCUMENTS) + 3)
    rng.shuffle(numbers)
    for index, (name, content) in enumerate(DOCUMENTS):
        changed = day(state["today"], -rng.randrange(1, 60))
        state["documents"][numbers[index]] = _new_document(
            numbers[index], folders[index // 3], name, content, changed
        )
    for document_id, name in zip(
        numbers[len(DOCUMENTS) :], ("old-logo-brief.md", "draft-v1.txt", "misc.csv"), strict=True
    ):
        state["trash"][document_id] = _new_document(
            document_id, rng.choice(folders), name, "Superseded.", state["today"]
        )
    state["shares"] = {
        share_id: {
            "share_id": share_id, "document_id": document_id,
            "collaborator_email": email(name, "partnerhub.net"),
            "access_level": rng.choice(("view", "comment", "edit")),
        }
        for share_id, document_id, name in zip(
            ids(rng, state, "SHA", 6), rng.sample(list(state["documents"]), 6), people(rng, 6), strict=True
        )
    }  # fmt: skip
    return state


@read("", F.listing("folders", FOLDER), "see my folders", "list my folders")
def list_folders(state: State, _args: Arguments) -> Any:
    """List all folders of the store."""
    return page("folders", list(state["folders"].values()), len(state["folders"]), FOLDER)


@read(
    "folder_id document_type? limit?",
    DOCUMENTS_FOUND,
    "see what is in a folder",
    "list the documents of a folder",
)
def list_folder_documents(state: State, args: Arguments) -> Any:
    """List the documents of a folder, optionally only those of one type."""
    lookup(state["folders"], args["folder_id"], "Folder")
    found = having(state["documents"], folder_id=args["folder_id"], document_type=args.get("document_type"))
    return page("documents", found, args["limit"], SUMMARY)


@read("query document_type? limit?", DOCUMENTS_FOUND, "find documents", "search my documents")
def search_documents(state: State, args: Arguments) -> Any:
    """Search documents in all folders by words in their name or content."""
    found = mentioning(
        having(state["documents"], document_type=args.get("document_type")),
        args["query"],
        "document_name",
        "content",
    )
    return page("documents", found, args["limit"], SUMMARY)


@read("document_id", F.object(DOCUMENT), "see the details of a document", "check the details of a document")
def get_document_details(state: State, args: Arguments) -> Any:
    """Get name, type, folder, size and date of the last change of a document, without its content."""
    return only(lookup(state["documents"], args["document_id"], "Document"), DOCUMENT)


@read(
    "document_id",
    F.object("document_id document_name content"),
    "read a document",
    "look at the text of a document",
)
def read_document(state: State, args: Arguments) -> Any:
    """Read the text content of a document."""
    return only(
        lookup(state["documents"], args["document_id"], "Document"), "document_id document_name content"
    )


def _name_is_free(state: State, folder_id: str, name: str) -> None:
    taken = having(state["documents"], folder_id=folder_id, document_name=name)
    folder = state["folders"][folder_id]["folder_name"]
    require(not taken, "conflict", f"The folder {folder} already holds a document named {name}.")


@write("folder_name", F.object(FOLDER), "make a new folder", "create a folder")
def create_folder(state: State, args: Arguments) -> Any:
    """Create a folder. Folder names are unique."""
    exists = having(state["folders"], folder_name=args["folder_name"])
    require(not exists, "conflict", f"A folder named {args['folder_name']} exists already.")
    folder_id = new_id(state, "FLD")
    state["folders"][folder_id] = {"folder_id": folder_id, "folder_name": args["folder_name"]}
    return state["folders"][folder_id]


@write(
    "folder_id document_name content",
    F.object(DOCUMENT),
    "save a new document in a folder",
    "create a document in a folder",
)
def create_document(state: State, args: Arguments) -> Any:
    """Create a text document (txt, md or csv) in a folder. Names are unique within a folder."""
    lookup(state["folders"], args["folder_id"], "Folder")
    known = args["document_name"].endswith((".txt", ".md", ".csv"))
    require(known, "invalid_arguments", "The document name must end in .txt, .md or .csv.")
    _name_is_free(state, args["folder_id"], args["document_name"])
    document = _new_document(
        new_id(state, "DCM"), args["folder_id"], args["document_name"], args["content"], state["today"]
    )
    state["documents"][document["document_id"]] = document
    return only(document, DOCUMENT)


@write("document_id content", F.object(DOCUMENT), "add a line to a document", "append a text to a document")
def append_to_document(state: State, args: Arguments) -> Any:
    """Append a line of text to the end of a document."""
    document = lookup(state["documents"], args["document_id"], "Document")
    document["content"] += "\n" + args["content"]
    document |= {"size_bytes": len(document["content"].encode()), "modified_on": state["today"]}
    return only(document, DOCUMENT)


@write(
    "document_id folder_id",
    F.object(DOCUMENT),
    "move a document to another folder",
    "move a document to a different folder",
)
def move_document(state: State, args: Arguments) -> Any:
    """Move a document to another folder. Fails with a conflict when its name is taken there."""
    document = lookup(state["documents"], args["document_id"], "Document")
    lookup(state["folders"], args["folder_id"], "Folder")
    _name_is_free(state, args["folder_id"], document["document_name"])
    document["folder_id"] = args["folder_id"]
    return only(document, DOCUMENT)


@write("document_id", F.object(DOCUMENT), "put a document in the trash", "move a document to the trash")
def trash_document(state: State, args: Arguments) -> Any:
    """Move a document to the trash and end its shares. It can be restored from there."""
    document = lookup(state["documents"], args["document_id"], "Document")
    state["trash"][args["document_id"]] = state["documents"].pop(args["document_id"])
    for share in having(state["shares"], document_id=args["document_id"]):
        del state["shares"][share["share_id"]]
    return only(document, DOCUMENT)


@read("limit?", DOCUMENTS_FOUND, "see what is in the trash", "list the documents in the trash")
def list_trashed_documents(state: State, args: Arguments) -> Any:
    """List the documents in the trash."""
    return page("documents", list(state["trash"].values()), args["limit"], SUMMARY)


@write(
    "document_id",
    F.object(DOCUMENT),
    "restore a document from the trash",
    "bring a document back from the trash",
)
def restore_document(state: State, args: Arguments) -> Any:
    """Put a document from the trash back into the folder it was in."""
    document = lookup(state["trash"], args["document_id"], "Trashed document")
    _name_is_free(state, document["folder_id"], document["document_name"])
    state["documents"][args["document_id"]] = state["trash"].pop(args["document_id"])
    return only(document, DOCUMENT)


@write(
    "document_id collaborator_email access_level?",
    F.object(SHARE),
    "share a document with a colleague",
    "give a colleague access to a document",
)
def share_document(state: State, args: Arguments) -> Any:
    """Share a document with a person by email, to view it unless another access is given."""
    lookup(state["documents"], args["document_id"], "Document")
    shared = having(
        state["shares"], document_id=args["document_id"], collaborator_email=args["collaborator_email"]
    )
    require(not shared, "conflict", f"The document is shared with {args['collaborator_email']} already.")
    share_id = new_id(state, "SHA")
    state["shares"][share_id] = {"share_id": share_id, **only(args, SHARE)}
    return state["shares"][share_id]


@read(
    "document_id",
    F.listing("shares", SHARE),
    "see who has access to a document",
    "list the shares of a document",
)
def list_document_shares(state: State, args: Arguments) -> Any:
    """List with whom a document is shared, and what they may do."""
    lookup(state["documents"], args["document_id"], "Document")
    found = having(state["shares"], document_id=args["document_id"])
    return page("shares", found, len(found), SHARE)


@write("share_id", F.object(SHARE), "revoke a document share", "end a document share")
def revoke_share(state: State, args: Arguments) -> Any:
    """End a share; the person loses access to the document at once."""
    lookup(state["shares"], args["share_id"], "Share")
    return state["shares"].pop(args["share_id"])


MACHINE: Final = machine(
    "drive",
    "Document Drive",
    "Cloud document store: folders, text documents, search, sharing with other people, and a trash.",
    domain="storage",
    fields=F,
    tools=(
        list_folders, list_folder_documents, search_documents, get_document_details, read_document,
        create_folder, create_document, append_to_document, move_document, trash_document,
        list_trashed_documents, restore_document, share_document, list_document_shares, revoke_share,
    ),
    initial=initial,
    pools={
        "query": lambda s: [re.split(r"[-.]", d["document_name"])[0] for d in s["documents"].values()],
        "folder_id": lambda s: list(s["folders"]),
        "list_folder_documents.folder_id": lambda s: [
            k for k in s["folders"] if having(s["documents"], folder_id=k)
        ],
        "move_document.folder_id": lambda s: [
            k for k in s["folders"] if not having(s["documents"], folder_id=k)
        ],
        "document_id": lambda s: list(s["documents"]),
        "restore_document.document_id": lambda s: list(s["trash"]),
        "list_document_shares.document_id": lambda s: [
            k for k in s["documents"] if having(s["shares"], document_id=k)
        ],
        "share_id": lambda s: list(s["shares"]),
    },
)  # fmt: skip
