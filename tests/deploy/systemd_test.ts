import assert from "node:assert/strict";
import { Machine } from "./support.ts";

/** What is acceptable of 10, by `systemd-analyze security`: "OK" ends at 4. */
const MAX_EXPOSURE = 2;

async function analyze(...args: string[]): Promise<string | null> {
  try {
    const { stdout, stderr } = await new Deno.Command("systemd-analyze", { args }).output();
    return new TextDecoder().decode(stderr) + new TextDecoder().decode(stdout);
  } catch (error) {
    console.warn(`NOT TESTED: systemd-analyze can't be run: ${error}`);
    return null;
  }
}

Deno.test("systemd understands the units of deploy/ and finds them hardened", async () => {
  await using machine = await Machine.create();
  const units = ["neo-master@.service", "neo-admin.service", "neo-storage@.service", "neo.target"];
  const paths: string[] = [];
  for (const unit of units) {
    paths.push(await machine.place(`systemd/${unit}`, unit.replace("@", "@1")));
  }
  const complaints = await analyze("verify", ...paths);
  if (complaints === null) return;
  assert.equal(complaints, "");
  for (const path of paths.filter((path) => path.endsWith(".service"))) {
    const text = await analyze("security", "--offline=true", path) ?? "";
    const exposure = /exposure level for \S+: (\S+)/.exec(text)?.[1];
    assert.ok(Number(exposure) <= MAX_EXPOSURE, text);
  }
});
