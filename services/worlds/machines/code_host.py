"""A code host: repositories, branches, issues, pull requests with reviews and checks, and releases."""

from __future__ import annotations

import random
from typing import Any, Final

from services.worlds.machine import Arguments, State
from services.worlds.machines.definition import (
    Fields,
    array,
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
    cycle,
    day,
    having,
    ids,
    lookup,
    mentioning,
    new_id,
    only,
    page,
    require,
    some_day,
)

REPOSITORIES: Final = (
    ("invoice-parser", "Python", "Reads totals and dates from scanned invoices"),
    ("shipping-api", "Go", "Rates and labels of parcel carriers"),
    ("storefront", "TypeScript", "Customer-facing shop pages"),
    ("search-indexer", "Rust", "Builds the product search index"),
    ("ledger-sync", "Python", "Copies bookings to the accounting system"),
    ("design-tokens", "TypeScript", "Colours, type and spacing of all apps"),
)  # fmt: skip
PROBLEMS: Final = {
    "invoice-parser": (
        ("Crash when the invoice has no date", "bug"),
        ("Wrong currency symbol in totals", "bug"),
        ("Support scans that are upside down", "enhancement"),
    ),
    "shipping-api": (
        ("Retry failed label requests", "enhancement"),
        ("Support oversized parcels", "enhancement"),
        ("Cache carrier responses", "performance"),
    ),
    "storefront": (
        ("Checkout button hidden on small screens", "bug"),
        ("Product photos load slowly", "performance"),
        ("Add keyboard shortcuts to search", "enhancement"),
    ),
    "search-indexer": (
        ("Index rebuild takes four hours", "performance"),
        ("Accents are ignored in queries", "bug"),
        ("Explain how shards are chosen", "documentation"),
    ),
    "ledger-sync": (
        ("Memory grows during nightly import", "performance"),
        ("Bookings copied twice", "bug"),
        ("Document the sync schedule", "documentation"),
    ),
    "design-tokens": (
        ("Dark theme contrast is too low", "bug"),
        ("Publish tokens for Android", "enhancement"),
        ("Explain the spacing scale", "documentation"),
    ),
}
CHANGES: Final = {
    "invoice-parser": ("Handle invoices without a date", "Fix the currency symbol", "Rotate scans first"),
    "shipping-api": ("Add retries to label requests", "Cache carrier responses", "Price oversized parcels"),
    "storefront": ("Show checkout on phones", "Compress product photos", "Focus search with slash"),
    "search-indexer": ("Rebuild only changed shards", "Fold accents in queries", "Describe the shards"),
    "ledger-sync": ("Stream the nightly import", "Skip copied bookings", "Describe the sync schedule"),
    "design-tokens": ("Raise the dark theme contrast", "Export Android tokens", "Describe the spacing scale"),
}
KINDS: Final = ("bug", "enhancement", "performance", "documentation")

F: Final = Fields(
    query=text("search words", "Words to look for in names and descriptions."),
    limit=limit(),
    repository_id=text("repository number", "Repository identifier, for example REP-30178."),
    repository_name=text("repository", "Name of the repository."),
    language=choice("programming language", "Main language.", ("Python", "Go", "TypeScript", "Rust")),
    repository_summary=text("summary", "What the repository is for."),
    open_issue_count=integer("open issues", "Number of open issues."),
    latest_version=text("latest version", "Version of the latest release."),
    branch_name=text("branch name", "Name of the branch.", (
        "fix/empty-response", "feature/bulk-upload", "chore/update-deps", "audit-log", "fix/timezones",
    ), pattern="^[A-Za-z0-9._/-]+$"),
    is_protected=flag("protected", "Whether changes need a pull request."),
    issue_id=text("issue number", "Issue identifier, for example ISS-48812."),
    issue_title=text("issue title", "Short title of the issue.", (
        "Upload fails for files above 20 MB", "Totals differ by one cent", "Login page flickers on reload",
        "Add a health check endpoint", "Typo in the error message for expired tokens",
    )),
    issue_body=text("issue description", "What happens and how to reproduce it.", (
        "Choose any file above 20 MB and press upload: the spinner never stops.",
        "Sum three items at 33.33 with tax; the page and the receipt disagree.",
        "Reload twice within a second in Firefox and watch the header.",
        "Our monitoring needs an address that answers when the service is ready.",
        "It says 'token expried' when a session has ended.",
    )),
    issue_label=choice("label", "Label of the issue.", KINDS),
    issue_state=choice("issue state", "Whether the issue is open.", ("open", "closed")),
    close_reason=choice(
        "reason for closing", "Why the issue is closed.", ("completed", "not_planned"), default="completed"
    ),
    comment_body=text("comment", "Text of the comment.", (
        "I can reproduce this on the latest release.", "A fix is on its way in a pull request.",
        "Could you attach the log of the failing run?", "This also affects the mobile client.",
        "Lowering the batch size works around it.",
    )),
    pull_request_id=text("pull request number", "Pull request identifier, for example PUL-59127."),
    pull_request_title=text("title of the pull request", "Title of the pull request."),
    pull_request_state=choice("pull request state", "State of the change.", ("open", "merged", "closed")),
    checks=choice("checks", "Result of the automatic checks.", ("passing", "failing")),
    approval_count=integer("approvals", "Number of approving reviews."),
    changed_files=integer("changed files", "Number of files changed."),
    verdict=choice("verdict", "Outcome of the review.", ("approve", "request_changes", "comment")),
    review_comment=text("review comment", "What the reviewer says.", (
        "Clear and well tested, thank you.", "Please add a test for the empty case.",
        "The name of the new function could say more.", "This duplicates code in the parser module.",
        "Works on my machine, including the edge cases.",
    )),
    merge_method=choice("merge method", "How to merge.", ("squash", "rebase", "merge"), default="squash"),
    commit_sha=text("commit", "Short hash of the commit that was made."),
    release_id=text("release number", "Release identifier."),
    version=text("version", "Version of the release, as MAJOR.MINOR.PATCH.", (
        "5.0.0", "5.0.1", "5.1.0", "6.0.0", "6.2.0",
    ), pattern=r"^\d+\.\d+\.\d+$"),
    release_notes=text("release notes", "What is new.", (
        "Faster imports and three fixes.", "Adds bulk upload.", "Security update of two dependencies.",
        "New settings page, improved contrast.", "Drops support for the old export format.",
    )),
    released_on=text("release date", "Date of the release.", format="date"),
)  # fmt: skip
F["comments"] = array("Comments, oldest first.", {"type": "string"})
F["reviews"] = array("Reviews, oldest first.", F.object("verdict review_comment?"))

REPOSITORY: Final = "repository_id repository_name language repository_summary"
ISSUE: Final = "issue_id repository_id issue_title issue_label issue_state"
FULL_ISSUE: Final = ISSUE + " issue_body comments close_reason?"
PULL: Final = "pull_request_id repository_id pull_request_title pull_request_state branch_name checks"
FULL_PULL: Final = PULL + " approval_count changed_files reviews commit_sha?"
BRANCH: Final = "repository_id branch_name is_protected"
RELEASE: Final = "release_id repository_id version release_notes released_on"
RELEASES: Final = F.listing("releases", RELEASE)


def initial(rng: random.Random) -> State:
    """Six repositories with branches and releases, 18 issues and 18 pull requests."""
    state: State = {"today": some_day(rng), "last_number": {}, "branches": {}, "releases": {}}
    state["repositories"] = {
        repository_id: {
            "repository_id": repository_id, "repository_name": name, "language": language,
            "repository_summary": summary,
        }
        for repository_id, (name, language, summary) in zip(
            ids(rng, state, "REP", len(REPOSITORIES)), REPOSITORIES, strict=True
        )
    }  # fmt: skip
    repositories = list(state["repositories"])
    for index, release_id in enumerate(ids(rng, state, "REL", 12)):
        state["releases"][release_id] = {
            "release_id": release_id, "repository_id": repositories[index % 6],
            "version": f"{1 + index // 6}.{rng.randrange(10)}.{rng.randrange(6)}",
            "release_notes": rng.choice(("Fixes and small improvements.", "Adds metrics.")),
            "released_on": day(state["today"], 12 * index - 200),
        }  # fmt: skip
    names = list(PROBLEMS)
    state["issues"] = {
        issue_id: {
            "issue_id": issue_id, "repository_id": repositories[index % 6], "issue_title": title,
            "issue_label": label, "issue_state": "closed" if index % 4 == 3 else "open",
            "issue_body": f"{title}. Seen on the main branch, it happens every time.", "comments": [],
        }
        for index, issue_id in enumerate(ids(rng, state, "ISS", 18))
        for title, label in (PROBLEMS[names[index % 6]][index // 6],)
    }  # fmt: skip
    for issue in having(state["issues"], issue_state="closed"):
        issue["close_reason"] = rng.choice(("completed", "not_planned"))
    kinds = cycle(rng, (("open", "passing", 1), ("open", "passing", 0), ("open", "failing", 1),
                        ("merged", "passing", 1), ("open", "passing", 2)), 18)  # fmt: skip
    state["pull_requests"] = {}
    for index, (pull_request_id, (pull_state, checks, approvals)) in enumerate(
        zip(ids(rng, state, "PUL", 18), kinds, strict=True)
    ):
        title = CHANGES[names[index % 6]][index // 6]
        pull = state["pull_requests"][pull_request_id] = {
            "pull_request_id": pull_request_id, "repository_id": repositories[index % 6],
            "pull_request_title": title, "branch_name": f"work/{'-'.join(title.lower().split()[:3])}",
            "pull_request_state": pull_state, "checks": checks, "approval_count": approvals,
            "changed_files": rng.randrange(1, 24), "reviews": [{"verdict": "approve"}] * approvals,
        }  # fmt: skip
        if pull_state == "merged":
            pull["commit_sha"] = f"{rng.randrange(16**7):07x}"
    for repository_id in repositories:
        working = having(state["pull_requests"], repository_id=repository_id, pull_request_state="open")
        state["branches"][repository_id] = ["main", *(pull["branch_name"] for pull in working)]
    return state


@read(
    "query language? limit?",
    F.listing("repositories", REPOSITORY),
    "find a repository",
    "search the repositories of our team",
)
def search_repositories(state: State, args: Arguments) -> Any:
    """Search repositories by words in their name or summary, optionally by language."""
    found = having(state["repositories"], language=args.get("language"))
    found = mentioning(found, args["query"], "repository_name", "repository_summary")
    return page("repositories", found, args["limit"], REPOSITORY)


@read(
    "repository_id",
    F.object(REPOSITORY + " open_issue_count latest_version"),
    "look at a repository",
    "check on a repository",
)
def get_repository(state: State, args: Arguments) -> Any:
    """Get a repository with its number of open issues and its latest version."""
    repository = lookup(state["repositories"], args["repository_id"], "Repository")
    issues = having(state["issues"], repository_id=args["repository_id"], issue_state="open")
    releases = having(state["releases"], repository_id=args["repository_id"])
    return {**repository, "open_issue_count": len(issues), "latest_version": releases[-1]["version"]}


@read(
    "repository_id issue_state? issue_label? limit?",
    F.listing("issues", ISSUE),
    "see the issues of a repository",
    "list the issues of a repository",
)
def list_issues(state: State, args: Arguments) -> Any:
    """List the issues of a repository, optionally only open or closed ones or those with a label."""
    lookup(state["repositories"], args["repository_id"], "Repository")
    filters = {field: args.get(field) for field in ("issue_state", "issue_label")}
    found = having(state["issues"], repository_id=args["repository_id"], **filters)
    return page("issues", found, args["limit"], ISSUE)


@read("issue_id", F.object(FULL_ISSUE), "read an issue", "check whether an issue is still open")
def get_issue(state: State, args: Arguments) -> Any:
    """Get an issue with its description, label, state and comments."""
    return lookup(state["issues"], args["issue_id"], "Issue")


@write(
    "repository_id issue_title issue_body issue_label?",
    F.object(FULL_ISSUE),
    "report an issue in a repository",
    "open an issue in a repository",
)
def create_issue(state: State, args: Arguments) -> Any:
    """Open an issue in a repository; it is labelled "bug" unless another label is given."""
    lookup(state["repositories"], args["repository_id"], "Repository")
    issue_id = new_id(state, "ISS")
    state["issues"][issue_id] = {
        "issue_id": issue_id, **only(args, "repository_id issue_title issue_body"),
        "issue_label": args.get("issue_label", "bug"), "issue_state": "open", "comments": [],
    }  # fmt: skip
    return state["issues"][issue_id]


@write("issue_id comment_body", F.object(FULL_ISSUE), "comment on an issue", "add a comment to an issue")
def comment_on_issue(state: State, args: Arguments) -> Any:
    """Add a comment to an issue, open or closed."""
    issue = lookup(state["issues"], args["issue_id"], "Issue")
    issue["comments"].append(args["comment_body"])
    return issue


@write("issue_id close_reason?", F.object(FULL_ISSUE), "close an issue", "mark an issue as closed")
def close_issue(state: State, args: Arguments) -> Any:
    """Close an open issue as completed or as not planned."""
    issue = lookup(state["issues"], args["issue_id"], "Issue")
    is_open = issue["issue_state"] == "open"
    require(is_open, "precondition_failed", f"Issue {args['issue_id']} is closed already.")
    issue |= {"issue_state": "closed", "close_reason": args["close_reason"]}
    return issue


@read(
    "repository_id",
    F.listing("branches", BRANCH),
    "see the branches of a repository",
    "list the branches of a repository",
)
def list_branches(state: State, args: Arguments) -> Any:
    """List the branches of a repository; the main branch is protected."""
    lookup(state["repositories"], args["repository_id"], "Repository")
    found = [_branch(args["repository_id"], name) for name in state["branches"][args["repository_id"]]]
    return page("branches", found, len(found), BRANCH)


def _branch(repository_id: str, name: str) -> Any:
    return {"repository_id": repository_id, "branch_name": name, "is_protected": name == "main"}


@write(
    "repository_id branch_name",
    F.object(BRANCH),
    "start a new branch in a repository",
    "create a branch in a repository",
)
def create_branch(state: State, args: Arguments) -> Any:
    """Create a branch from the tip of the main branch."""
    lookup(state["repositories"], args["repository_id"], "Repository")
    branches = state["branches"][args["repository_id"]]
    exists = args["branch_name"] in branches
    require(not exists, "conflict", f"The branch {args['branch_name']} exists already.")
    branches.append(args["branch_name"])
    return _branch(args["repository_id"], args["branch_name"])


@read(
    "repository_id pull_request_state? limit?",
    F.listing("pull_requests", PULL),
    "see the pull requests of a repository",
    "list the pull requests of a repository",
)
def list_pull_requests(state: State, args: Arguments) -> Any:
    """List the pull requests of a repository, optionally only those in a given state."""
    lookup(state["repositories"], args["repository_id"], "Repository")
    wanted = args.get("pull_request_state")
    found = having(state["pull_requests"], repository_id=args["repository_id"], pull_request_state=wanted)
    return page("pull_requests", found, args["limit"], PULL)


@read("pull_request_id", F.object(FULL_PULL), "look at a pull request", "check on a pull request")
def get_pull_request(state: State, args: Arguments) -> Any:
    """Get a pull request with its branch, checks, approvals and reviews."""
    return lookup(state["pull_requests"], args["pull_request_id"], "Pull request")


def _open_pull(state: State, pull_request_id: str) -> Any:
    pull = lookup(state["pull_requests"], pull_request_id, "Pull request")
    now = pull["pull_request_state"]
    is_open = now == "open"
    require(is_open, "precondition_failed", f"Pull request {pull_request_id} is {now} already.")
    return pull


@write(
    "pull_request_id verdict review_comment?",
    F.object(FULL_PULL),
    "review a pull request",
    "submit a review of a pull request",
)
def review_pull_request(state: State, args: Arguments) -> Any:
    """Review an open pull request. An approval counts towards merging, a request for changes resets it."""
    pull = _open_pull(state, args["pull_request_id"])
    pull["reviews"].append(only(args, "verdict review_comment"))
    if args["verdict"] == "approve":
        pull["approval_count"] += 1
    if args["verdict"] == "request_changes":
        pull["approval_count"] = 0
    return pull


@write(
    "pull_request_id merge_method?",
    F.object(FULL_PULL),
    "merge a pull request",
    "merge a pull request into its branch",
)
def merge_pull_request(state: State, args: Arguments) -> Any:
    """Merge an open pull request and delete its branch. It needs an approval and passing checks."""
    pull = _open_pull(state, args["pull_request_id"])
    require(pull["checks"] == "passing", "precondition_failed", "The checks of this pull request fail.")
    require(pull["approval_count"] > 0, "precondition_failed", "This pull request needs an approval first.")
    state["branches"][pull["repository_id"]].remove(pull["branch_name"])
    tip = f"{int(args['pull_request_id'][4:]) * 2654435761 % 16**7:07x}"
    pull |= {"pull_request_state": "merged", "commit_sha": tip}
    return pull


@read(
    "repository_id limit?", RELEASES, "see the releases of a repository", "list the releases of a repository"
)
def list_releases(state: State, args: Arguments) -> Any:
    """List the releases of a repository, latest first."""
    lookup(state["repositories"], args["repository_id"], "Repository")
    found = having(state["releases"], repository_id=args["repository_id"])[::-1]
    return page("releases", found, args["limit"], RELEASE)


@write(
    "repository_id version release_notes?",
    F.object(RELEASE),
    "publish a release of a repository",
    "release a new version of a repository",
)
def publish_release(state: State, args: Arguments) -> Any:
    """Publish a release of a repository. Its version must be higher than that of the latest release."""
    lookup(state["repositories"], args["repository_id"], "Repository")
    latest = having(state["releases"], repository_id=args["repository_id"])[-1]["version"]
    higher = _parts(args["version"]) > _parts(latest)
    require(higher, "conflict", f"Version {args['version']} is not higher than {latest}.")
    release_id = new_id(state, "REL")
    state["releases"][release_id] = {
        "release_id": release_id, **only(args, "repository_id version"), "released_on": state["today"],
        "release_notes": args.get("release_notes", "Maintenance release."),
    }  # fmt: skip
    return state["releases"][release_id]


def _parts(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


def _pulls(state: State, **fields: Any) -> list[str]:
    return [pull["pull_request_id"] for pull in having(state["pull_requests"], **fields)]


def _mergeable(state: State) -> list[str]:
    ready = _pulls(state, pull_request_state="open", checks="passing")
    return [key for key in ready if state["pull_requests"][key]["approval_count"]]


MACHINE: Final = machine(
    "code_host",
    "Code Hosting",
    "Hosting of source code: repositories, branches, issues, pull requests with reviews, and releases.",
    domain="developer_tools",
    fields=F,
    tools=(
        search_repositories, get_repository, list_issues, get_issue, create_issue, comment_on_issue,
        close_issue, list_branches, create_branch, list_pull_requests, get_pull_request,
        review_pull_request, merge_pull_request, list_releases, publish_release,
    ),
    initial=initial,
    pools={
        "query": lambda s: [r["repository_name"] for r in s["repositories"].values()],
        "repository_id": lambda s: list(s["repositories"]),
        "issue_id": lambda s: list(s["issues"]),
        "close_issue.issue_id": lambda s: [i["issue_id"] for i in having(s["issues"], issue_state="open")],
        "pull_request_id": lambda s: list(s["pull_requests"]),
        "review_pull_request.pull_request_id": lambda s: _pulls(s, pull_request_state="open"),
        "merge_pull_request.pull_request_id": _mergeable,
    },
)  # fmt: skip
