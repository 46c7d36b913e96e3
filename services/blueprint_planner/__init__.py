"""blueprint-planner: one checked plan for every slot."""
