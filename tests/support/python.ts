/**
 * A Python for tests against the real thing: ZODB, and nodes in another language.
 *
 * @module
 */

/**
 * Path of a Python interpreter that can import ZODB: a virtual environment made once and kept in a
 * cache folder. `null`, said loudly, if there is no python3; in CI that is an error.
 */
export function pythonWithZodb(): Promise<string | null> {
  return pythonWith("ZODB", "ZODB.FileStorage");
}

/** As {@linkcode pythonWithZodb}, of an interpreter that can import msgpack. */
export function pythonWithMsgpack(): Promise<string | null> {
  return pythonWith("msgpack", "msgpack");
}

/** As {@linkcode pythonWithZodb}, of an interpreter that can run supervisor. */
export function pythonWithSupervisor(): Promise<string | null> {
  return pythonWith("supervisor", "supervisor");
}

async function pythonWith(distribution: string, module: string): Promise<string | null> {
  const folder = `${Deno.env.get("TMPDIR") ?? "/tmp"}/neo-test-python`;
  const python = `${folder}/bin/python`;
  try {
    if (await canImport(python, module)) return python;
    if (!await canImport(python, "pip")) await run("python3", "-m", "venv", folder);
    await run(python, "-m", "pip", "install", "--quiet", distribution);
    return python;
  } catch (error) {
    if (Deno.env.get("CI") === "1") throw error;
    console.warn(`NOT TESTED: no Python environment with ${distribution} for it: ${error}`);
    return null;
  }
}

/** Runs a command and returns its standard output; its standard error is the error's message. */
export async function run(command: string, ...args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(command, { args }).output();
  const decoder = new TextDecoder();
  if (!success) throw new Error(`${command} ${args.join(" ")} failed:\n${decoder.decode(stderr)}`);
  return decoder.decode(stdout);
}

async function canImport(python: string, module: string): Promise<boolean> {
  try {
    await run(python, "-c", `import ${module}`);
    return true;
  } catch {
    return false;
  }
}
