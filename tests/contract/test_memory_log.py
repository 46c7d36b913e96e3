from services.kit.memory import MemoryLog
from tests.contract.log_contract import LogContract


class TestMemoryLog(LogContract):
    durable = False

    async def open_log(self, place):
        return MemoryLog()
