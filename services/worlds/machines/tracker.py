"""A project tracker: projects, milestones, tasks with a life cycle and blockers, worklogs and comments."""

from __future__ import annotations

import random
from typing import Any, Final

from services.worlds.machine import Arguments, State
from services.worlds.machines.definition import (
    Fields,
    array,
    choice,
    integer,
    limit,
    machine,
    number,
    read,
    text,
    write,
)
from services.worlds.machines.records import (
    cents,
    cycle,
    day,
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

PROJECTS: Final = {
    "Website relaunch": (
        "Write the migration plan", "Draft the landing page copy", "Review accessibility findings",
        "Measure page load times", "Translate the help pages",
    ),
    "Warehouse robotics pilot": (
        "Collect quotes from vendors", "Check the safety certificate", "Map the aisles for the robots",
        "Train the night shift", "Compare picking times",
    ),
    "Mobile app 3.0": (
        "Set up the test environment", "Interview five pilot users", "Design the icon set",
        "Plan the data import", "Clean up old user accounts",
    ),
    "Office relocation": (
        "Agree on the floor plan", "Order network equipment", "Book the moving company",
        "Update the risk register", "Label all the furniture",
    ),
}  # fmt: skip
STAGES: Final = ("todo", "in_progress", "in_review", "done")

F: Final = Fields(
    query=text("search words", "Words to look for in task titles."),
    limit=limit(),
    project_id=text("project number", "Project identifier, for example PRJ-10482."),
    project_name=text("project", "Name of the project."),
    project_status=choice("project status", "Status of the project.", ("active", "on_hold")),
    project_lead=text("project lead", "Person who leads the project."),
    milestone_id=text("milestone number", "Milestone identifier, for example MLS-22907."),
    milestone_name=text("milestone", "Name of the milestone."),
    target_date=text("target date", "Date the milestone is planned for.", format="date"),
    tasks_total=integer("tasks", "Number of tasks of the milestone."),
    tasks_done=integer("finished tasks", "Number of tasks of the milestone that are done."),
    task_id=text("task number", "Task identifier, for example TSK-63155."),
    task_title=text("task title", "What is to be done, in a few words.", (
        "Compare two hosting offers", "Fix broken links on the careers page", "Invite the pilot group",
        "Update the emergency contacts", "Write release notes for partners",
    )),
    task_status=choice("task status", "Stage that the task is in.", STAGES),
    task_priority=choice("priority", "Importance of the task.", ("low", "medium", "high"), default="medium"),
    due_date=text("due date", "Date the task is due, as YYYY-MM-DD.", format="date"),
    assignee_id=text("team member number", "Identifier of a team member, for example USR-35560."),
    assignee_name=text("team member", "Full name of the team member."),
    team_role=text("role", "Role in the team."),
    open_task_count=integer("open tasks", "Number of unfinished tasks assigned to the team member."),
    hours_spent=number(
        "number of hours", "Hours to log.", (0.5, 1.25, 2.0, 3.5, 6.0), exclusiveMinimum=0, maximum=24
    ),
    hours_logged=number("hours logged", "Hours of work logged on the task so far."),
    task_comment=text("comment", "Text of the comment.", (
        "Waiting for the vendor's answer until Wednesday.", "The first draft is ready for feedback.",
        "This needs one more person to finish on time.", "I moved the open questions into the minutes.",
        "The numbers changed, please check the total again.",
    )),
)  # fmt: skip
F["comments"] = array("Comments, oldest first.", {"type": "string"})
F["blocked_by"] = array("Identifiers of the tasks that must be done first.", {"type": "string"})

PROJECT: Final = "project_id project_name project_status project_lead"
MILESTONE: Final = "milestone_id project_id milestone_name target_date"
SUMMARY: Final = "task_id project_id task_title task_status task_priority assignee_id? due_date?"
TASK: Final = SUMMARY + " milestone_id hours_logged blocked_by comments"
TASKS: Final = F.listing("tasks", SUMMARY)
MEMBER: Final = "assignee_id assignee_name team_role open_task_count"


def initial(rng: random.Random) -> State:
    """Four projects with two milestones each, 8 team members and 20 tasks in all stages; two are blocked."""
    state: State = {"today": some_day(rng), "last_number": {}, "tasks": {}, "milestones": {}}
    names = people(rng, 8)
    roles = cycle(rng, ("Developer", "Designer", "Analyst", "Project manager"), 8)
    state["members"] = {
        member: {"assignee_id": member, "assignee_name": name, "team_role": role}
        for member, name, role in zip(ids(rng, state, "USR", 8), names, roles, strict=True)
    }
    state["projects"] = {
        project_id: {
            "project_id": project_id, "project_name": name, "project_lead": rng.choice(names),
            "project_status": "on_hold" if index == 3 else "active",
        }
        for index, (project_id, name) in enumerate(zip(ids(rng, state, "PRJ", 4), PROJECTS, strict=True))
    }  # fmt: skip
    projects = list(state["projects"])
    for index, milestone_id in enumerate(ids(rng, state, "MLS", 8)):
        state["milestones"][milestone_id] = {
            "milestone_id": milestone_id, "project_id": projects[index // 2],
            "milestone_name": ("Foundations ready", "Go live")[index % 2],
            "target_date": day(state["today"], 20 + 25 * (index % 2) + index),
        }  # fmt: skip
    milestones, stages = list(state["milestones"].values()), cycle(rng, STAGES, 20)
    titles = rng.sample([(n, title) for n, work in enumerate(PROJECTS.values()) for title in work], 20)
    for index, task_id in enumerate(ids(rng, state, "TSK", 20)):
        project, title = titles[index]
        milestone = milestones[2 * project + rng.randrange(2)]
        task = state["tasks"][task_id] = {
            "task_id": task_id, "project_id": milestone["project_id"],
            "milestone_id": milestone["milestone_id"],
            "task_title": title,
            "task_status": stages[index], "task_priority": rng.choice(("low", "medium", "high")),
            "due_date": day(state["today"], rng.randrange(2, 40)), "hours_logged": 0.0,
            "blocked_by": [], "comments": [],
        }  # fmt: skip
        if stages[index] != "todo":
            task |= {
                "assignee_id": rng.choice(list(state["members"])),
                "hours_logged": rng.randrange(1, 30) / 2,
            }
    waiting, reviewed = (
        having(state["tasks"], task_status="todo"),
        having(state["tasks"], task_status="in_review"),
    )
    for task, blocker in zip(reviewed[:2], waiting[:2], strict=True):
        task["blocked_by"].append(blocker["task_id"])
    return state


@read(
    "project_status? limit?",
    F.listing("projects", PROJECT),
    "see which projects are running",
    "list our projects",
)
def list_projects(state: State, args: Arguments) -> Any:
    """List projects with their lead, optionally only those with a given status."""
    found = having(state["projects"], project_status=args.get("project_status"))
    return page("projects", found, args["limit"], PROJECT)


@read(
    "project_id",
    F.listing("milestones", MILESTONE),
    "see the milestones of a project",
    "list a project's milestones",
)
def list_milestones(state: State, args: Arguments) -> Any:
    """List the milestones of a project in order of their target dates."""
    lookup(state["projects"], args["project_id"], "Project")
    found = having(state["milestones"], project_id=args["project_id"])
    return page("milestones", sorted(found, key=lambda m: m["target_date"]), len(found), MILESTONE)


@read(
    "milestone_id",
    F.object(MILESTONE + " tasks_total tasks_done"),
    "check the progress of a milestone",
    "see the progress towards a milestone",
)
def get_milestone_progress(state: State, args: Arguments) -> Any:
    """Get a milestone with the number of its tasks and how many of them are done."""
    milestone = lookup(state["milestones"], args["milestone_id"], "Milestone")
    tasks = having(state["tasks"], milestone_id=args["milestone_id"])
    done = sum(task["task_status"] == "done" for task in tasks)
    return {**milestone, "tasks_total": len(tasks), "tasks_done": done}


@read(
    "project_id task_status? limit?",
    TASKS,
    "see the tasks of a project",
    "list the tasks of a project",
)
def list_project_tasks(state: State, args: Arguments) -> Any:
    """List the tasks of a project, optionally only those in a given stage."""
    lookup(state["projects"], args["project_id"], "Project")
    found = having(state["tasks"], project_id=args["project_id"], task_status=args.get("task_status"))
    return page("tasks", found, args["limit"], SUMMARY)


@read("query limit?", TASKS, "find a task by its title", "search the tasks of all projects")
def search_tasks(state: State, args: Arguments) -> Any:
    """Search the tasks of all projects by words in the title."""
    found = mentioning(state["tasks"].values(), args["query"], "task_title")
    return page("tasks", found, args["limit"], SUMMARY)


@read("task_id", F.object(TASK), "look at a task", "check the state of a task")
def get_task(state: State, args: Arguments) -> Any:
    """Get a task with its stage, assignee, due date, hours, blockers and comments."""
    return lookup(state["tasks"], args["task_id"], "Task")


@read("limit?", F.listing("members", MEMBER), "see who is on the team", "list the team members")
def list_team_members(state: State, args: Arguments) -> Any:
    """List team members with their role and number of open tasks, least busy first."""
    found = [{**member, "open_task_count": _load(state, key)} for key, member in state["members"].items()]
    return page("members", sorted(found, key=lambda m: m["open_task_count"]), args["limit"], MEMBER)


def _load(state: State, assignee_id: str) -> int:
    return sum(t["task_status"] != "done" for t in having(state["tasks"], assignee_id=assignee_id))


@write(
    "milestone_id task_title task_priority? due_date?",
    F.object(TASK),
    "add a task to a milestone",
    "create a task for a milestone",
)
def create_task(state: State, args: Arguments) -> Any:
    """Create a task under a milestone. It starts in the stage "todo", unassigned."""
    milestone = lookup(state["milestones"], args["milestone_id"], "Milestone")
    task_id = new_id(state, "TSK")
    state["tasks"][task_id] = {
        "task_id": task_id, "project_id": milestone["project_id"], "task_status": "todo", "hours_logged": 0.0,
        **only(args, "milestone_id task_title task_priority due_date"), "blocked_by": [], "comments": [],
    }  # fmt: skip
    return state["tasks"][task_id]


def _unfinished(state: State, task_id: str) -> Any:
    task = lookup(state["tasks"], task_id, "Task")
    require(task["task_status"] != "done", "precondition_failed", f"Task {task_id} is done already.")
    return task


@write(
    "task_id assignee_id", F.object(TASK), "hand a task to a team member", "assign a task to a team member"
)
def assign_task(state: State, args: Arguments) -> Any:
    """Assign an unfinished task to a team member."""
    task = _unfinished(state, args["task_id"])
    lookup(state["members"], args["assignee_id"], "Team member")
    same = task.get("assignee_id") == args["assignee_id"]
    require(not same, "conflict", f"Task {args['task_id']} is assigned to this person already.")
    task["assignee_id"] = args["assignee_id"]
    return task


def _advance(state: State, task_id: str, source: str, target: str) -> Any:
    task = lookup(state["tasks"], task_id, "Task")
    ready = f"Task {task_id} is in the stage {task['task_status']}, not {source}."
    require(task["task_status"] == source, "precondition_failed", ready)
    task["task_status"] = target
    return task


@write("task_id", F.object(TASK), "start working on a task", "mark a task as started")
def start_task(state: State, args: Arguments) -> Any:
    """Move a task from "todo" to "in_progress"."""
    return _advance(state, args["task_id"], "todo", "in_progress")


@write("task_id", F.object(TASK), "hand a task in for review", "submit a task for review")
def submit_task_for_review(state: State, args: Arguments) -> Any:
    """Move a task from "in_progress" to "in_review"."""
    return _advance(state, args["task_id"], "in_progress", "in_review")


@write("task_id", F.object(TASK), "mark a task as done", "finish a task")
def complete_task(state: State, args: Arguments) -> Any:
    """Move a task from "in_review" to "done". All tasks that block it must be done."""
    task = _advance(state, args["task_id"], "in_review", "done")
    waiting = [key for key in task["blocked_by"] if state["tasks"][key]["task_status"] != "done"]
    require(not waiting, "precondition_failed", f"These tasks must be done first: {', '.join(waiting)}.")
    return task


@write("task_id due_date", F.object(TASK), "change the due date of a task", "set the due date of a task")
def set_task_due_date(state: State, args: Arguments) -> Any:
    """Set the due date of an unfinished task; it must not lie in the past."""
    task = _unfinished(state, args["task_id"])
    require(args["due_date"] >= state["today"], "invalid_arguments", "The due date lies in the past.")
    task["due_date"] = args["due_date"]
    return task


@write("task_id hours_spent", F.object(TASK), "log hours on a task", "record time spent on a task")
def log_work(state: State, args: Arguments) -> Any:
    """Add hours of work to a task. Returns the task with its new total."""
    task = lookup(state["tasks"], args["task_id"], "Task")
    task["hours_logged"] = cents(task["hours_logged"] + args["hours_spent"])
    return task


@write("task_id task_comment", F.object(TASK), "comment on a task", "leave a note on a task")
def add_task_comment(state: State, args: Arguments) -> Any:
    """Add a comment to a task."""
    task = lookup(state["tasks"], args["task_id"], "Task")
    task["comments"].append(args["task_comment"])
    return task


def _tasks(state: State, **fields: Any) -> list[str]:
    return [task["task_id"] for task in having(state["tasks"], **fields)]


def _free_due_dates(state: State) -> list[str]:
    """Dates of the coming weeks on which no task is due."""
    due = [task.get("due_date") for task in state["tasks"].values()]
    days = [day(state["today"], ahead) for ahead in range(3, 60)]
    return [free for free in days if free not in due]


MACHINE: Final = machine(
    "tracker",
    "Project Tracker",
    "Project tracker: projects, milestones, tasks from to-do to done, assignments, time and comments.",
    domain="project_management",
    fields=F,
    tools=(
        list_projects, list_milestones, get_milestone_progress, list_project_tasks, search_tasks, get_task,
        list_team_members, create_task, assign_task, start_task, submit_task_for_review, complete_task,
        set_task_due_date, log_work, add_task_comment,
    ),
    initial=initial,
    pools={
        "query": lambda s: [" ".join(t["task_title"].lower().split()[-2:]) for t in s["tasks"].values()],
        "project_id": lambda s: [k for k in s["projects"] if having(s["tasks"], project_id=k)],
        "milestone_id": lambda s: list(s["milestones"]),
        "task_id": lambda s: list(s["tasks"]),
        "assign_task.task_id": lambda s: [k for k in _tasks(s) if "assignee_id" not in s["tasks"][k]],
        "start_task.task_id": lambda s: _tasks(s, task_status="todo"),
        "submit_task_for_review.task_id": lambda s: _tasks(s, task_status="in_progress"),
        "complete_task.task_id": lambda s: _tasks(s, task_status="in_review", blocked_by=[]),
        "set_task_due_date.task_id": lambda s: [
            key for key, task in s["tasks"].items() if task["task_status"] != "done"
        ],
        "due_date": _free_due_dates,
        "assignee_id": lambda s: list(s["members"]),
    },
)  # fmt: skip
