"""A support desk: requesters, tickets with a life cycle, agents, and articles that answer questions."""

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
    email,
    find,
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

SUBJECTS: Final = (
    ("Cannot sign in after password change", "account"), ("Invoice shows the wrong tax rate", "billing"),
    ("Export to spreadsheet stops halfway", "product"), ("Charged twice for the March invoice", "billing"),
    ("Mobile app closes when opening reports", "product"), ("Need to add a second administrator", "account"),
    ("Two-factor codes never arrive", "account"), ("Dashboard loads very slowly", "product"),
    ("Refund has not reached my card", "billing"), ("Printer integration lost its connection", "integration"),
    ("Calendar sync duplicates entries", "integration"), ("Webhook deliveries are delayed", "integration"),
)  # fmt: skip
ARTICLES: Final = (
    ("Reset a forgotten password", "account", "Open Settings, choose Security, then Send reset link."),
    ("Set up two-factor sign-in", "account", "Scan the code under Security with an authenticator app."),
    ("Read your invoice", "billing", "Each line names the plan, the period and the tax rate that applies."),
    ("How refunds work", "billing", "Refunds reach the card within five to seven working days."),
    ("Export reports to a spreadsheet", "product", "Exports hold up to 50,000 rows."),
    ("Speed up a slow dashboard", "product", "Limit widgets to 12 and set the refresh to every 15 minutes."),
    ("Reconnect the printer integration", "integration", "Remove the device and pair it again."),
    ("Retry failed webhook deliveries", "integration", "Failed deliveries are retried for 24 hours."),
)  # fmt: skip
STORIES: Final = (
    "This has held up our team since Monday.", "We have found no way around it so far.",
    "Please let us know when we can expect an answer.",
)  # fmt: skip
TOPICS: Final = ("account", "billing", "product", "integration")
AGENT_CAPACITY: Final = 6

F: Final = Fields(
    query=text("search words", "Words to look for."),
    limit=limit(),
    requester_id=text("requester number", "Requester identifier, for example REQ-44120."),
    requester_name=text("name", "Full name of the requester."),
    requester_email=text("email address", "Email address of the requester.", format="email"),
    company=text("company", "Company the requester belongs to."),
    ticket_id=text("ticket number", "Ticket identifier, for example TKT-80931."),
    ticket_subject=text(
        "subject",
        "Subject line of the ticket.",
        (
            "Password reset link has expired",
            "Seat count on our plan is wrong",
            "Saved filters disappeared after the update",
            "Monthly report arrives without attachments",
            "Slack notifications stopped on Tuesday",
        ),
    ),
    ticket_description=text(
        "description of the problem",
        "What happens, and what was expected instead.",
        (
            "The link in the email says it is no longer valid, even minutes after I asked for it.",
            "We pay for 25 seats but the settings page only lets us invite 20 people.",
            "All filters my team had saved are gone since last night and we need them back.",
            "The email comes on time every month but the PDF is missing from it.",
            "Nothing has been posted to our channel for three days although alerts were raised.",
        ),
    ),
    topic=choice("topic", "Area the question is about.", TOPICS),
    ticket_priority=choice(
        "priority", "How urgent the ticket is.", ("low", "normal", "high", "urgent"), default="normal"
    ),
    ticket_status=choice("ticket status", "Status of the ticket.", ("open", "pending", "resolved")),
    opened_on=text("opening date", "Date the ticket was opened.", format="date"),
    comment_text=text(
        "comment",
        "Text of the comment.",
        (
            "It also happens in a private browser window.",
            "The customer called again and asks for an update today.",
            "A screenshot of the error was sent by email.",
            "We could reproduce this on the latest version.",
            "Please keep our finance team informed as well.",
        ),
    ),
    is_public=flag("visible to the requester", "Whether the requester can see the comment.", default=True),
    comment_author=text("author", "Who wrote the comment."),
    agent_id=text("agent number", "Support agent identifier, for example AGT-15208."),
    agent_name=text("agent name", "Full name of the agent."),
    skill=choice("skill", "Topic that the agent is trained in.", TOPICS),
    open_tickets=integer("open tickets", "Number of unresolved tickets assigned to the agent."),
    resolution=text(
        "resolution",
        "How the problem was solved, as the requester will read it.",
        (
            "A new reset link was sent and the old one was withdrawn.",
            "The seat count was corrected and the difference credited.",
            "The saved filters were restored from yesterday's backup.",
            "The report template was repaired; the missing file is attached.",
            "The integration was reauthorized and a test message arrived.",
        ),
    ),
    reopen_reason=text(
        "reason for reopening",
        "Why the ticket is not resolved after all.",
        (
            "The problem came back this morning.",
            "The fix works for me but not for my colleagues.",
            "The credit has not shown up on our account.",
            "The same error appears on a different page now.",
            "Nobody confirmed that the data was restored.",
        ),
    ),
    article_id=text("article number", "Help article identifier, for example ART-33015."),
    article_title=text("title", "Title of the article."),
    article_text=text("text", "Text of the article."),
)  # fmt: skip
F["comments"] = array("Comments, oldest first.", F.object("comment_author comment_text is_public"))

REQUESTER: Final = "requester_id requester_name requester_email company"
SUMMARY: Final = (
    "ticket_id requester_id ticket_subject topic ticket_priority ticket_status opened_on agent_id?"
)
TICKET: Final = SUMMARY + " ticket_description comments resolution?"
AGENT: Final = "agent_id agent_name skill open_tickets"


def initial(rng: random.Random) -> State:
    """A desk with 9 requesters, 6 agents, 8 articles and 18 tickets, half of them unassigned."""
    state: State = {"today": some_day(rng), "last_number": {}, "tickets": {}}
    names = people(rng, 15)
    companies = ("Halden Logistics", "Brightwater Dental", "Oriel Studios", "Tamarind Foods")
    state["requesters"] = {
        requester_id: {
            "requester_id": requester_id, "requester_name": name,
            "requester_email": email(name, f"{company.split()[0].lower()}.com"), "company": company,
        }
        for requester_id, name, company in zip(
            ids(rng, state, "REQ", 9), names[:9], cycle(rng, companies, 9), strict=True
        )
    }  # fmt: skip
    state["agents"] = {
        agent_id: {"agent_id": agent_id, "agent_name": name, "skill": skill, "open_tickets": 0}
        for agent_id, name, skill in zip(
            ids(rng, state, "AGT", 6), names[9:], cycle(rng, TOPICS, 6), strict=True
        )
    }
    state["articles"] = {
        article_id: {"article_id": article_id, "article_title": title, "topic": topic, "article_text": text_}
        for article_id, (title, topic, text_) in zip(ids(rng, state, "ART", 8), ARTICLES, strict=True)
    }
    owners, statuses = cycle(rng, state["requesters"], 18), cycle(rng, ("open", "open", "resolved"), 18)
    for index, ticket_id in enumerate(ids(rng, state, "TKT", 18)):
        subject, topic = SUBJECTS[index % len(SUBJECTS)]
        ticket = state["tickets"][ticket_id] = {
            "ticket_id": ticket_id, "requester_id": owners[index], "ticket_subject": subject, "topic": topic,
            "ticket_priority": rng.choice(("low", "normal", "high")), "ticket_status": statuses[index],
            "opened_on": day(state["today"], index - 19),
            "ticket_description": f"{subject}. {rng.choice(STORIES)}",
            "comments": [],
        }  # fmt: skip
        if statuses[index] == "resolved":
            ticket["resolution"] = "Solved together with the requester on the phone."
        elif index % 2:
            agent = rng.choice([a for a in state["agents"].values() if a["open_tickets"] < 2])
            agent["open_tickets"] += 1
            ticket |= {"agent_id": agent["agent_id"], "ticket_status": "pending"}
    return state


@read("requester_email", F.object(REQUESTER), "look up a requester", "find a requester by email")
def find_requester(state: State, args: Arguments) -> Any:
    """Find a person who asks for support by their email address."""
    return find(state["requesters"], "requester_email", args["requester_email"], "requester")


@read(
    "requester_id ticket_status? limit?",
    F.listing("tickets", SUMMARY),
    "see a requester's tickets",
    "list the tickets of a requester",
)
def list_requester_tickets(state: State, args: Arguments) -> Any:
    """List the tickets of a requester, oldest first, optionally only those with a given status."""
    lookup(state["requesters"], args["requester_id"], "Requester")
    status = args.get("ticket_status")
    found = having(state["tickets"], requester_id=args["requester_id"], ticket_status=status)
    return page("tickets", found, args["limit"], SUMMARY)


@read(
    "query topic? ticket_status? limit?",
    F.listing("tickets", SUMMARY),
    "search the tickets",
    "find tickets about a problem",
)
def search_tickets(state: State, args: Arguments) -> Any:
    """Search tickets by words in their subject or description, optionally by topic and status."""
    found = having(state["tickets"], topic=args.get("topic"), ticket_status=args.get("ticket_status"))
    found = mentioning(found, args["query"], "ticket_subject", "ticket_description")
    return page("tickets", found, args["limit"], SUMMARY)


@read("ticket_id", F.object(TICKET), "look at a support ticket", "check on a ticket")
def get_ticket(state: State, args: Arguments) -> Any:
    """Get a ticket with its description, comments, assigned agent and resolution."""
    return lookup(state["tickets"], args["ticket_id"], "Ticket")


@write(
    "requester_id ticket_subject ticket_description topic? ticket_priority?",
    F.object(TICKET),
    "open a support ticket for a requester",
    "file a support ticket for a requester",
)
def open_ticket(state: State, args: Arguments) -> Any:
    """Open a ticket for a requester. It starts unassigned; the topic is "product" unless given."""
    lookup(state["requesters"], args["requester_id"], "Requester")
    ticket_id = new_id(state, "TKT")
    state["tickets"][ticket_id] = {
        "ticket_id": ticket_id, **only(args, TICKET),
        "topic": args.get("topic", "product"), "ticket_status": "open", "opened_on": state["today"],
        "comments": [],
    }  # fmt: skip
    return state["tickets"][ticket_id]


def _note(ticket: Any, author: str, words: str, *, public: bool) -> None:
    ticket["comments"].append({"comment_author": author, "comment_text": words, "is_public": public})


@write(
    "ticket_id comment_text is_public?",
    F.object(TICKET),
    "add a comment to a ticket",
    "leave a note on a ticket",
)
def add_ticket_comment(state: State, args: Arguments) -> Any:
    """Add a comment to a ticket, visible to the requester unless said otherwise."""
    ticket = lookup(state["tickets"], args["ticket_id"], "Ticket")
    _note(ticket, "support desk", args["comment_text"], public=args["is_public"])
    return ticket


@read(
    "skill? limit?",
    F.listing("agents", AGENT),
    "see which support agents there are",
    "list the support agents",
)
def list_support_agents(state: State, args: Arguments) -> Any:
    """List support agents with their skill and workload, least busy first."""
    found = sorted(having(state["agents"], skill=args.get("skill")), key=lambda agent: agent["open_tickets"])
    return page("agents", found, args["limit"], AGENT)


@write(
    "ticket_id agent_id",
    F.object(TICKET),
    "assign a ticket to an agent",
    "hand a ticket to an agent",
)
def assign_ticket(state: State, args: Arguments) -> Any:
    """Assign an unresolved ticket to an agent. An agent carries at most six unresolved tickets."""
    ticket = lookup(state["tickets"], args["ticket_id"], "Ticket")
    agent = lookup(state["agents"], args["agent_id"], "Agent")
    _unresolved(ticket)
    require(ticket.get("agent_id") != args["agent_id"], "conflict", "The ticket is assigned to them already.")
    full = f"{agent['agent_name']} has {agent['open_tickets']} unresolved tickets and can take no more."
    require(agent["open_tickets"] < AGENT_CAPACITY, "limit_exceeded", full)
    if "agent_id" in ticket:
        state["agents"][ticket["agent_id"]]["open_tickets"] -= 1
    agent["open_tickets"] += 1
    ticket |= {"agent_id": args["agent_id"], "ticket_status": "pending"}
    return ticket


def _unresolved(ticket: Any) -> None:
    is_open = ticket["ticket_status"] != "resolved"
    require(is_open, "precondition_failed", f"Ticket {ticket['ticket_id']} is resolved; reopen it first.")


@write(
    "ticket_id ticket_priority",
    F.object(TICKET),
    "change the priority of a ticket",
    "set the priority of a ticket",
)
def change_ticket_priority(state: State, args: Arguments) -> Any:
    """Change the priority of an unresolved ticket; the change is noted in its internal comments."""
    ticket = lookup(state["tickets"], args["ticket_id"], "Ticket")
    _unresolved(ticket)
    ticket["ticket_priority"] = args["ticket_priority"]
    _note(ticket, "system", f"Priority set to {args['ticket_priority']}.", public=False)
    return ticket


@write("ticket_id resolution", F.object(TICKET), "mark a ticket as solved", "resolve a ticket")
def resolve_ticket(state: State, args: Arguments) -> Any:
    """Mark a ticket as resolved and tell the requester how the problem was solved."""
    ticket = lookup(state["tickets"], args["ticket_id"], "Ticket")
    _unresolved(ticket)
    if "agent_id" in ticket:
        state["agents"][ticket["agent_id"]]["open_tickets"] -= 1
    ticket |= {"ticket_status": "resolved", "resolution": args["resolution"]}
    return ticket


@write("ticket_id reopen_reason", F.object(TICKET), "reopen a ticket", "open a solved ticket again")
def reopen_ticket(state: State, args: Arguments) -> Any:
    """Reopen a resolved ticket; it becomes open and unassigned again."""
    ticket = lookup(state["tickets"], args["ticket_id"], "Ticket")
    resolved = ticket["ticket_status"] == "resolved"
    require(resolved, "precondition_failed", f"Ticket {args['ticket_id']} is not resolved.")
    ticket["ticket_status"] = "open"
    for field in ("resolution", "agent_id"):
        ticket.pop(field, None)
    _note(ticket, "requester", args["reopen_reason"], public=True)
    return ticket


@read(
    "query limit?",
    F.listing("articles", "article_id article_title topic"),
    "search the help articles",
    "find help articles about a problem",
)
def search_help_articles(state: State, args: Arguments) -> Any:
    """Search the help center by words in an article's title or text."""
    found = mentioning(state["articles"].values(), args["query"], "article_title", "article_text")
    return page("articles", found, args["limit"], "article_id article_title topic")


@read(
    "article_id",
    F.object("article_id article_title topic article_text"),
    "read a help article",
    "look at a help article",
)
def get_help_article(state: State, args: Arguments) -> Any:
    """Get the full text of a help article."""
    return lookup(state["articles"], args["article_id"], "Article")


def _tickets(state: State, *statuses: str) -> list[str]:
    return [key for key, ticket in state["tickets"].items() if ticket["ticket_status"] in statuses]


MACHINE: Final = machine(
    "helpdesk",
    "Support Desk",
    "Customer support desk: requesters, tickets, agents and their workload, and a help center.",
    domain="support",
    fields=F,
    tools=(
        find_requester, list_requester_tickets, search_tickets, get_ticket, open_ticket, add_ticket_comment,
        list_support_agents, assign_ticket, change_ticket_priority, resolve_ticket, reopen_ticket,
        search_help_articles, get_help_article,
    ),
    initial=initial,
    pools={
        "search_tickets.query": lambda s: [
            t["ticket_subject"].split()[-1].lower() for t in s["tickets"].values()
        ],
        "search_help_articles.query": lambda s: [
            a["article_title"].split()[-1].lower() for a in s["articles"].values()
        ],
        "requester_email": lambda s: [r["requester_email"] for r in s["requesters"].values()],
        "requester_id": lambda s: list(s["requesters"]),
        "ticket_id": lambda s: list(s["tickets"]),
        "assign_ticket.ticket_id": lambda s: _tickets(s, "open"),
        "change_ticket_priority.ticket_id": lambda s: _tickets(s, "open", "pending"),
        "resolve_ticket.ticket_id": lambda s: _tickets(s, "open", "pending"),
        "reopen_ticket.ticket_id": lambda s: _tickets(s, "resolved"),
        "agent_id": lambda s: [k for k, a in s["agents"].items() if a["open_tickets"] < AGENT_CAPACITY],
        "article_id": lambda s: list(s["articles"]),
    },
)  # fmt: skip
