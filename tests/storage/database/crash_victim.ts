/** Process that goes to a step of a commit, says so, and waits to be killed. */

import { openDatabase } from "../../../storage/database/mod.ts";
import { commitUntil, type Step, STEPS } from "./crash.ts";
import { databaseOptions } from "./support.ts";

const [database = "", given] = Deno.args;
const step: Step | undefined = STEPS.find((one) => one === given);
if (step === undefined) throw new Error(`unknown step ${given}`);
const setTimer = () => () => {}; // No commit by delay.
const db = await openDatabase("SQLite", databaseOptions(database, { setTimer }));
await commitUntil(db, step);
console.log("ready");
await new Promise(() => setInterval(() => {}, 1000));
