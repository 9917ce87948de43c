import assert from "node:assert/strict";
import type { Mail } from "../../admin/alarm.ts";
import { ClusterState, NodeState, NodeType } from "../../protocol/enums.ts";
import { AdminSetup, node, OUT_OF_DATE, settle, UP_TO_DATE } from "./support.ts";

/** A mailbox, that may refuse. */
class Mailbox {
  readonly mails: Mail[] = [];
  refuses = false;

  readonly sendMail = (mail: Mail): Promise<void> => {
    if (this.refuses) return Promise.reject(new Error("mailbox full"));
    this.mails.push(mail);
    return Promise.resolve();
  };

  get subjects(): string[] {
    return this.mails.map(({ subject }) => subject);
  }
}

const WELL = "RUNNING; UP_TO_DATE=4; ltid=040d2f43668da553 (2026-11-22 10:11:24.035930)";

function loseStorage({ master }: AdminSetup, timestamp: number, state = NodeState.DOWN): void {
  const nodes = [node(NodeType.STORAGE, 2, state)];
  master.connection.notify("NotifyNodeInformation", { timestamp, nodes });
}

Deno.test("Alarm tells how the cluster is when that has changed, and nothing else", async () => {
  const box = new Mailbox();
  await using setup = await AdminSetup.start({ sendMail: box.sendMail });
  assert.deepEqual(box.mails, []);
  await setup.clock.advance(5_000);
  assert.deepEqual(box.mails, [{ subject: "NEO monitoring: OK", text: WELL }]);
  setup.master.connection.notify("NotifyNodeInformation", {
    timestamp: 5,
    nodes: [node(NodeType.CLIENT, 7)],
  });
  await setup.clock.advance(700_000);
  assert.equal(box.mails.length, 1, "clients come and go");

  loseStorage(setup, 6);
  await setup.clock.advance(2_000);
  setup.master.connection.notify("NotifyPartitionChanges", {
    ptid: 8,
    replicas: 1,
    cells: [{ partition: 0, nid: 2, state: OUT_OF_DATE }],
  });
  await setup.clock.advance(3_000);
  assert.deepEqual(box.mails.slice(1), [{
    subject: "NEO monitoring: PROBLEM (test)",
    text: WELL.replace("UP_TO_DATE=4;", "OUT_OF_DATE=1, UP_TO_DATE=3; DOWN=1;"),
  }], "one message for what comes together");
  loseStorage(setup, 7, NodeState.RUNNING);
  await setup.clock.advance(10_000);
  setup.master.connection.notify("NotifyPartitionChanges", {
    ptid: 9,
    replicas: 1,
    cells: [{ partition: 0, nid: 2, state: UP_TO_DATE }],
  });
  await setup.clock.advance(10_000);
  assert.deepEqual(box.subjects.slice(2), [
    "NEO monitoring: WARNING (test)",
    "NEO monitoring: OK",
  ]);
});

Deno.test("Alarm does not tell what is over at once", async () => {
  const box = new Mailbox();
  await using setup = await AdminSetup.start({ sendMail: box.sendMail });
  await setup.clock.advance(10_000);
  loseStorage(setup, 6);
  await setup.clock.advance(2_000);
  loseStorage(setup, 7, NodeState.RUNNING);
  await setup.clock.advance(10_000);
  assert.deepEqual(box.subjects, ["NEO monitoring: OK"]);
});

Deno.test("Alarm tells that there is no master any more, and the state of the cluster", async () => {
  const box = new Mailbox();
  await using setup = await AdminSetup.start({ sendMail: box.sendMail });
  await setup.clock.advance(10_000);
  setup.master.connection.notify("NotifyClusterInformation", { state: ClusterState.RECOVERING });
  await setup.clock.advance(10_000);
  setup.master.close();
  await setup.clock.advance(10_000);
  assert.deepEqual(box.mails.slice(1), [
    { subject: "NEO monitoring: PROBLEM (test)", text: "RECOVERING; UP_TO_DATE=4" },
    { subject: "NEO monitoring: PROBLEM (test)", text: "Not connected to a primary master." },
  ]);
});

Deno.test("Alarm tries again ten minutes after a failure, and tells operators meanwhile", async () => {
  const box = new Mailbox();
  box.refuses = true;
  await using setup = await AdminSetup.start({ sendMail: box.sendMail });
  await setup.clock.advance(6_000);
  const control = await setup.control();
  const failed = await control.ask("AskMonitorInformation", {});
  assert.deepEqual(failed.problem, [null]);
  assert.match(
    failed.summary,
    /^RUNNING; .*\)\n\ne-mail could not be sent at \d{4}-.*: mailbox full$/,
  );
  assert.ok(setup.log.records.some((text) => text.includes("mailbox full")));
  box.refuses = false;
  await setup.clock.advance(590_000);
  assert.equal(box.mails.length, 0);
  await setup.clock.advance(10_000);
  assert.equal(box.mails.length, 1);
  assert.match(box.mails[0]?.text ?? "", /^RUNNING; .*\n\ne-mail could not be sent/);
  await settle();
  const report = await control.ask("AskMonitorInformation", {});
  assert.deepEqual([report.problem, report.summary], [[], WELL]);
});

Deno.test("Alarm tells soon what is new, even if something could not be told before", async () => {
  const box = new Mailbox();
  await using setup = await AdminSetup.start({ sendMail: box.sendMail });
  await setup.clock.advance(5_000);
  box.refuses = true;
  loseStorage(setup, 6);
  await setup.clock.advance(5_000);
  box.refuses = false;
  await setup.clock.advance(60_000);
  assert.deepEqual(box.subjects, ["NEO monitoring: OK"]);
  setup.master.connection.notify("NotifyPartitionChanges", {
    ptid: 8,
    replicas: 1,
    cells: [{ partition: 0, nid: 2, state: OUT_OF_DATE }],
  });
  await setup.clock.advance(5_000);
  assert.deepEqual(box.subjects.slice(1), ["NEO monitoring: PROBLEM (test)"]);
});

Deno.test("Alarm of an admin that ends is silent", async () => {
  const box = new Mailbox();
  const setup = await AdminSetup.start({ sendMail: box.sendMail });
  await setup.stop();
  setup.master.close();
  await setup.clock.advance(700_000);
  assert.deepEqual(box.mails, []);
});
