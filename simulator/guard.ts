/**
 * Makes sure that what is simulated uses nothing of the real world.
 *
 * @module
 */

/** Functions that would make a run depend on the real world. */
const FORBIDDEN = [
  [globalThis, "setTimeout"],
  [globalThis, "setInterval"],
  [Date, "now"],
  [performance, "now"],
  [Math, "random"],
] as const;

/** Forbids real clocks, timers and chance, and hears of promises that nobody handles. */
export class Guard implements Disposable {
  readonly #onViolation: (text: string) => void;
  readonly #saved: (readonly [object, string, unknown])[] = [];

  constructor(onViolation: (text: string) => void) {
    this.#onViolation = onViolation;
    for (const [owner, name] of FORBIDDEN) {
      this.#saved.push([owner, name, Reflect.get(owner, name)]);
      Reflect.set(owner, name, () => {
        const error = new Error(`${name} is called in a simulation`);
        onViolation(error.stack ?? error.message);
        throw error;
      });
    }
    globalThis.addEventListener("unhandledrejection", this.#onUnhandled);
  }

  [Symbol.dispose](): void {
    for (const [owner, name, value] of this.#saved) Reflect.set(owner, name, value);
    globalThis.removeEventListener("unhandledrejection", this.#onUnhandled);
  }

  readonly #onUnhandled = (event: PromiseRejectionEvent): void => {
    event.preventDefault();
    const { reason } = event;
    const text = reason instanceof Error ? reason.stack ?? reason.message : String(reason);
    this.#onViolation(`nobody handles ${text}`);
  };
}
