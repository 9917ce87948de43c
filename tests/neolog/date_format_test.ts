import assert from "node:assert/strict";
import { checkDateFormat, formatDate, parseMoment } from "../../neolog/date_format.ts";

Deno.test("formatDate() writes the fields of strftime", () => {
  const date = new Date(2026, 1, 3, 15, 4, 5);
  assert.equal(formatDate("%F %T", date), "2026-02-03 15:04:05");
  assert.equal(formatDate("%D %R %I%p %e %j", date), "02/03/26 15:04 03PM  3 034");
  assert.equal(formatDate("%a %A %b %B %h", date), "Tue Tuesday Feb February Feb");
  assert.equal(formatDate("%s%%%n%t%y", date), `${date.getTime() / 1000}%\n\t26`);
  assert.match(formatDate("%z", date), /^[-+]\d{4}$/);
});

Deno.test("checkDateFormat() refuses unknown fields", () => {
  assert.equal(checkDateFormat("%F at %T"), "%F at %T");
  assert.equal(checkDateFormat(""), "");
  for (const format of ["%Q", "100%"]) {
    assert.throws(() => checkDateFormat(format), { name: "InvalidValueError" });
  }
});

Deno.test("parseMoment() reads numbers, relative numbers and dates", () => {
  assert.equal(parseMoment("1700000000.5", 0), 1700000000.5);
  assert.equal(parseMoment("-60", 1000), 940);
  assert.equal(parseMoment("2026-02-03", 0), new Date(2026, 1, 3).getTime() / 1000);
  assert.equal(parseMoment("2026-02-03 15:04", 0), new Date(2026, 1, 3, 15, 4).getTime() / 1000);
  assert.equal(parseMoment("1970-01-01T00:01:00Z", 0), 60);
  assert.throws(() => parseMoment("yesterday", 0), { name: "InvalidValueError", message: /date/ });
});
