import type { Host } from "../../node/host.ts";

/** A machine with the given files, where `host1` is 10.0.0.1, `host2` is 10.0.0.2 and so on. */
export function fakeHost(files: Readonly<Record<string, string>> = {}): Host {
  return {
    readTextFile: (path) => {
      const text = files[path];
      if (text === undefined) return Promise.reject(new Error("No such file"));
      return Promise.resolve(text);
    },
    resolve: (name) => {
      const number = /^host(\d+)$/.exec(name)?.[1];
      if (number === undefined) return Promise.reject(new Error("unknown name"));
      return Promise.resolve(`10.0.0.${number}`);
    },
    home: (user) => Promise.resolve(user === "" ? "/home/me" : user === "neo" ? "/srv/neo" : null),
  };
}
