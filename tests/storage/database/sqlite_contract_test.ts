import { testContract } from "./contract.ts";
import { sqliteBackend } from "./sqlite_backend.ts";

testContract(sqliteBackend("SQLite", ""));
testContract(sqliteBackend("SQLite without WAL", "?journal_mode=delete"));
