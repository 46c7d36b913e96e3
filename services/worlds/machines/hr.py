"""Human resources: employees and managers, leave balances and requests, payslips, emergency contacts."""

from __future__ import annotations

import random
from typing import Any, Final

from services.worlds.machine import Arguments, State
from services.worlds.machines.definition import (
    Fields,
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
    email,
    find,
    having,
    ids,
    lookup,
    new_id,
    only,
    page,
    people,
    require,
    some_day,
)

DEPARTMENTS: Final = ("engineering", "sales", "finance", "operations")
JOBS: Final = {
    "engineering": "Software engineer", "sales": "Account executive", "finance": "Financial analyst",
    "operations": "Operations specialist",
}  # fmt: skip
LEAVE_TYPES: Final = ("vacation", "sick", "parental")

F: Final = Fields(
    limit=limit(),
    employee_id=text("employee number", "Employee identifier, for example EMP-20477."),
    employee_name=text("name", "Full name of the employee."),
    employee_email=text("work email address", "Work email address.", format="email"),
    department=choice("department", "Department of the company.", DEPARTMENTS),
    job_title=text("job title", "Job title."),
    manager_id=text("manager's number", "Employee identifier of the manager, if there is one."),
    manager_name=text("manager", "Full name of the manager, if there is one."),
    hired_on=text("start date", "First day at the company.", format="date"),
    office=text("office", "Office the employee works from."),
    leave_type=choice("kind of leave", "What the days off are for.", LEAVE_TYPES),
    vacation_days_left=integer("vacation days left", "Vacation days left this year."),
    sick_days_left=integer("sick days left", "Paid sick days left this year."),
    parental_days_left=integer("parental leave left", "Days of parental leave left."),
    leave_request_id=text("leave request number", "Leave request identifier, for example LVR-58830."),
    first_day=text("first day off", "First day off, as YYYY-MM-DD.", format="date"),
    day_count=integer("number of days", "Working days off.", (1, 2, 3, 4, 5), minimum=1, maximum=30),
    leave_status=choice("status", "Status of the request.", ("pending", "approved", "rejected", "withdrawn")),
    decision_note=text("note on the decision", "What the employee is told about the decision.", (
        "Enjoy your time off!", "Please hand your open cases to a colleague first.",
        "Too many of the team are away that week.", "Approved as discussed in our meeting.",
        "Could we talk about another date?",
    )),
    payslip_id=text("payslip number", "Payslip identifier, for example PAY-91045."),
    pay_month=text("month", "Month that was paid, as YYYY-MM."),
    gross_pay=number("gross pay", "Pay before deductions, in EUR."),
    deductions=number("deductions", "Taxes and contributions, in EUR."),
    net_pay=number("net pay", "Pay after deductions, in EUR."),
    emergency_contact_name=text("emergency contact", "Full name of the person to call.", (
        "Helena Marsh", "Victor Amsel", "Ruth Okonjo", "Pavel Dvorak", "Lucia Ferrante",
    )),
    emergency_contact_phone=text("emergency contact's phone number", "Phone number of the person to call.", (
        "+1-202-555-0136", "+1-415-555-0171", "+1-617-555-0108", "+1-312-555-0190", "+1-503-555-0124",
    )),
)  # fmt: skip

EMPLOYEE: Final = "employee_id employee_name employee_email department job_title"
PROFILE: Final = EMPLOYEE + " hired_on office manager_id? manager_name?"
REQUEST: Final = "leave_request_id employee_id leave_type first_day day_count leave_status decision_note?"
REQUESTS: Final = F.listing("leave_requests", REQUEST)
BALANCE: Final = "employee_id vacation_days_left sick_days_left parental_days_left"
SLIP: Final = "payslip_id employee_id pay_month net_pay"


def initial(rng: random.Random) -> State:
    """16 employees in four departments, each but four with a manager, 18 leave requests and 32 payslips."""
    state: State = {"today": some_day(rng), "last_number": {}, "requests": {}, "payslips": {}}
    names = people(rng, 16)
    state["employees"], state["balances"] = {}, {}
    managers: dict[str, str] = {}
    for index, employee_id in enumerate(ids(rng, state, "EMP", 16)):
        department, name = DEPARTMENTS[index % 4], names[index]
        employee = state["employees"][employee_id] = {
            "employee_id": employee_id, "employee_name": name, "employee_email": email(name, "nordhaven.eu"),
            "department": department, "hired_on": day("2014-02-01", rng.randrange(4000)),
            "job_title": JOBS[department] if department in managers else f"Head of {department}",
            "office": rng.choice(("Antwerp", "Graz", "Porto")),
        }  # fmt: skip
        if department in managers:
            manager = state["employees"][managers[department]]
            employee |= {"manager_id": manager["employee_id"], "manager_name": manager["employee_name"]}
        managers.setdefault(department, employee_id)
        state["balances"][employee_id] = {
            "employee_id": employee_id, "vacation_days_left": rng.randrange(9, 28),
            "sick_days_left": rng.randrange(6, 12), "parental_days_left": rng.randrange(10, 60),
        }  # fmt: skip
    statuses = cycle(rng, ("pending", "pending", "approved", "rejected"), 18)
    owners = cycle(rng, state["employees"], 18)
    for index, leave_request_id in enumerate(ids(rng, state, "LVR", 18)):
        state["requests"][leave_request_id] = {
            "leave_request_id": leave_request_id, "employee_id": owners[index],
            "leave_status": statuses[index], "leave_type": rng.choice(("vacation", "vacation", "parental")),
            "first_day": day(state["today"], 7 * (index // 3 + 1)), "day_count": rng.randrange(1, 5),
        }  # fmt: skip
    months = (state["today"][:4] + "-01", f"{int(state['today'][:4]) - 1}-12")
    slips = [(employee, month) for employee in state["employees"] for month in months]
    for payslip_id, (employee_id, month) in zip(ids(rng, state, "PAY", 32), slips, strict=True):
        gross = rng.randrange(310_000, 780_000) / 100
        deductions = cents(gross * rng.randrange(28, 39) / 100)
        state["payslips"][payslip_id] = {
            "payslip_id": payslip_id, "employee_id": employee_id, "pay_month": month, "gross_pay": gross,
            "deductions": deductions, "net_pay": cents(gross - deductions),
        }  # fmt: skip
    return state


@read("employee_email", F.object(EMPLOYEE), "look up an employee", "find an employee by work email")
def find_employee(state: State, args: Arguments) -> Any:
    """Find an employee by their work email address."""
    return only(find(state["employees"], "employee_email", args["employee_email"], "employee"), EMPLOYEE)


@read(
    "department limit?",
    F.listing("employees", EMPLOYEE),
    "see the employees of a department",
    "list the employees of a department",
)
def list_department_employees(state: State, args: Arguments) -> Any:
    """List the employees of a department, its head first."""
    return page(
        "employees", having(state["employees"], department=args["department"]), args["limit"], EMPLOYEE
    )


@read("employee_id", F.object(PROFILE), "see an employee's profile", "look at the profile of an employee")
def get_employee_profile(state: State, args: Arguments) -> Any:
    """Get an employee's job, department, office, start date and manager."""
    return only(lookup(state["employees"], args["employee_id"], "Employee"), PROFILE)


@read(
    "employee_id",
    F.object(BALANCE),
    "check how many days off an employee has left",
    "check an employee's leave balance",
)
def get_leave_balance(state: State, args: Arguments) -> Any:
    """Get the days of vacation, paid sick leave and parental leave that an employee has left."""
    return lookup(state["balances"], args["employee_id"], "Employee")


@read(
    "employee_id leave_status? limit?",
    REQUESTS,
    "see an employee's leave requests",
    "list the leave requests of an employee",
)
def list_leave_requests(state: State, args: Arguments) -> Any:
    """List the leave requests of an employee, optionally only those with a given status."""
    lookup(state["employees"], args["employee_id"], "Employee")
    status = args.get("leave_status")
    found = having(state["requests"], employee_id=args["employee_id"], leave_status=status)
    return page("leave_requests", found, args["limit"], REQUEST)


@read(
    "department limit?",
    REQUESTS,
    "see which leave requests wait for a decision",
    "list the open leave requests of a department",
)
def list_pending_approvals(state: State, args: Arguments) -> Any:
    """List the pending leave requests of a department, earliest first day first."""
    pending = having(state["requests"], leave_status="pending")
    found = [r for r in pending if state["employees"][r["employee_id"]]["department"] == args["department"]]
    return page("leave_requests", sorted(found, key=lambda r: r["first_day"]), args["limit"], REQUEST)


@read("leave_request_id", F.object(REQUEST), "look at a leave request", "check on a leave request")
def get_leave_request(state: State, args: Arguments) -> Any:
    """Get a leave request with its dates, status and the note on the decision."""
    return lookup(state["requests"], args["leave_request_id"], "Leave request")


def _last_day(request: Any) -> str:
    return day(request["first_day"], request["day_count"] - 1)


@write(
    "employee_id leave_type first_day day_count",
    F.object(REQUEST),
    "submit a leave request for an employee",
    "request leave for an employee",
)
def submit_leave_request(state: State, args: Arguments) -> Any:
    """Submit a leave request. Days must be left, and other requests of the employee must not overlap."""
    balance = lookup(state["balances"], args["employee_id"], "Employee")
    left = balance[f"{args['leave_type']}_days_left"]
    short = f"Only {left} days of {args['leave_type']} leave are left."
    require(args["day_count"] <= left, "limit_exceeded", short)
    require(args["first_day"] >= state["today"], "invalid_arguments", "The first day off lies in the past.")
    for other in having(state["requests"], employee_id=args["employee_id"]):
        live = other["leave_status"] in {"pending", "approved"}
        apart = _last_day(other) < args["first_day"] or _last_day(args) < other["first_day"]
        clash = f"Leave request {other['leave_request_id']} covers some of these days."
        require(apart or not live, "conflict", clash)
    leave_request_id = new_id(state, "LVR")
    state["requests"][leave_request_id] = {
        "leave_request_id": leave_request_id, **only(args, "employee_id leave_type first_day day_count"),
        "leave_status": "pending",
    }  # fmt: skip
    return state["requests"][leave_request_id]


def _decide(state: State, args: Arguments, status: str) -> Any:
    request = lookup(state["requests"], args["leave_request_id"], "Leave request")
    now = request["leave_status"]
    pending = now == "pending"
    require(pending, "precondition_failed", f"Leave request {args['leave_request_id']} is {now} already.")
    request |= {"leave_status": status, **only(args, "decision_note")}
    return request


@write(
    "leave_request_id decision_note?", F.object(REQUEST), "approve a leave request", "grant a leave request"
)
def approve_leave_request(state: State, args: Arguments) -> Any:
    """Approve a pending leave request; its days are taken off the employee's balance."""
    request = _decide(state, args, "approved")
    field = f"{request['leave_type']}_days_left"
    balance = state["balances"][request["employee_id"]]
    short = f"Only {balance[field]} days of {request['leave_type']} leave are left."
    require(request["day_count"] <= balance[field], "limit_exceeded", short)
    balance[field] -= request["day_count"]
    return request


@write(
    "leave_request_id decision_note",
    F.object(REQUEST),
    "turn down a leave request",
    "decline a leave request",
)
def reject_leave_request(state: State, args: Arguments) -> Any:
    """Reject a pending leave request with a note to the employee."""
    return _decide(state, args, "rejected")


@write("leave_request_id", F.object(REQUEST), "withdraw a leave request", "take back a leave request")
def withdraw_leave_request(state: State, args: Arguments) -> Any:
    """Withdraw a leave request that has not been decided."""
    return _decide(state, args, "withdrawn")


@read(
    "employee_id",
    F.listing("payslips", SLIP),
    "see an employee's payslips",
    "list the payslips of an employee",
)
def list_payslips(state: State, args: Arguments) -> Any:
    """List the payslips of an employee, latest first."""
    lookup(state["employees"], args["employee_id"], "Employee")
    found = having(state["payslips"], employee_id=args["employee_id"])
    return page("payslips", found, len(found), SLIP)


@read(
    "payslip_id",
    F.object(SLIP + " gross_pay deductions"),
    "look at a payslip",
    "check a payslip",
)
def get_payslip(state: State, args: Arguments) -> Any:
    """Get a payslip with gross pay, deductions and net pay."""
    return lookup(state["payslips"], args["payslip_id"], "Payslip")


@write(
    "employee_id emergency_contact_name emergency_contact_phone",
    F.object("employee_id employee_name emergency_contact_name emergency_contact_phone"),
    "change an employee's emergency contact",
    "update the emergency contact of an employee",
)
def set_emergency_contact(state: State, args: Arguments) -> Any:
    """Set the person who is called when something happens to an employee."""
    employee = lookup(state["employees"], args["employee_id"], "Employee")
    employee |= only(args, "emergency_contact_name emergency_contact_phone")
    return only(employee, "employee_id employee_name emergency_contact_name emergency_contact_phone")


def _pending(state: State) -> list[str]:
    return [request["leave_request_id"] for request in having(state["requests"], leave_status="pending")]


def _coverable(state: State) -> list[str]:
    """Pending requests for which enough days are left."""
    requests = [state["requests"][key] for key in _pending(state)]
    return [
        r["leave_request_id"]
        for r in requests
        if r["day_count"] <= state["balances"][r["employee_id"]][f"{r['leave_type']}_days_left"]
    ]


def _free_first_days(state: State) -> list[str]:
    """Mondays after the last day off that anyone has asked for."""
    last = max(_last_day(request) for request in state["requests"].values())
    mondays = [day(state["today"], 7 * week) for week in range(1, 60)]
    return [monday for monday in mondays if monday > last][:8]


MACHINE: Final = machine(
    "hr",
    "People and Time Off",
    "Human resources: employee profiles, leave balances, requests and approvals, payslips.",
    domain="hr",
    fields=F,
    tools=(
        find_employee, list_department_employees, get_employee_profile, get_leave_balance,
        list_leave_requests, list_pending_approvals, get_leave_request, submit_leave_request,
        approve_leave_request, reject_leave_request, withdraw_leave_request,
        list_payslips, get_payslip, set_emergency_contact,
    ),
    initial=initial,
    pools={
        "employee_email": lambda s: [e["employee_email"] for e in s["employees"].values()],
        "employee_id": lambda s: list(s["employees"]),
        "list_leave_requests.employee_id": lambda s: [
            k for k in s["employees"] if having(s["requests"], employee_id=k)
        ],
        "submit_leave_request.employee_id": lambda s: [
            k for k, b in s["balances"].items() if min(b[f"{kind}_days_left"] for kind in LEAVE_TYPES) >= 5
        ],
        "list_pending_approvals.department": lambda s: list(
            dict.fromkeys(s["employees"][s["requests"][k]["employee_id"]]["department"] for k in _pending(s))
        ),
        "first_day": _free_first_days,
        "leave_request_id": _pending,
        "get_leave_request.leave_request_id": lambda s: list(s["requests"]),
        "approve_leave_request.leave_request_id": _coverable,
        "payslip_id": lambda s: list(s["payslips"]),
    },
)  # fmt: skip
