import { parse } from "csv-parse/sync";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Format, RECORD_BYTES_MAX, readRecords } from "../../../src/cli/import/records.ts";
import { readTenants, type TenantLine } from "../../../src/cli/import/tenant-line.ts";

const SEED = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31));

async function* chunksOf(bytes: Uint8Array, sizes: readonly number[]): AsyncGenerator<Uint8Array> {
  let from = 0;
  for (let at = 0; from < bytes.length; at += 1) {
    const to = from + (sizes[at % sizes.length] ?? 1);
    yield bytes.subarray(from, to);
    from = to;
  }
}

async function records(text: string | Uint8Array, format: Format, sizes = [65_536]): Promise<string[]> {
  const bytes = typeof text === "string" ? new TextEncoder().encode(text) : text;
  const found: string[] = [];
  for await (const record of readRecords(chunksOf(bytes, sizes), format)) {
    const told = "bytes" in record ? new TextDecoder().decode(record.bytes) : `!${record.problem}`;
    found.push(`${record.line}:${told}`);
  }
  return found;
}

async function tenants(text: string | Uint8Array, format: Format): Promise<TenantLine[]> {
  const bytes = typeof text === "string" ? new TextEncoder().encode(text) : text;
  const found: TenantLine[] = [];
  for await (const line of readTenants(chunksOf(bytes, [7]), format)) found.push(line);
  return found;
}

async function problems(text: string | Uint8Array, format: Format): Promise<string[]> {
  return (await tenants(text, format)).flatMap((line) =>
    "problems" in line
      ? line.problems.map(({ field, description }) => `${line.line}: ${field} ${description}`.replace("  ", " "))
      : [`${line.line}: ok`],
  );
}

describe("records of a file", () => {
  it("are lines, blank ones passed over, with or without a last line's end, with Unix' or Windows' ends", async () => {
    for (const format of ["csv", "ndjson"] as const) {
      expect(await records("a\n\nb\r\n\r\nc", format)).toEqual(["1:a", "3:b", "5:c"]);
      expect(await records("", format)).toEqual([]);
    }
  });

  it("go on within quotes, where a quoted field can begin and nowhere else", async () => {
    expect(await records('a,"x\ny""\n"\nb,6" pipe\nc\n', "csv")).toEqual(['1:a,"x\ny""\n"', '4:b,6" pipe', "5:c"]);
    expect(await records('a;"x\ny"\nb,"c\n', "csv")).toEqual(['1:a;"x\ny"', '3:b,"c']);
    expect(await records('"a\nb"\n', "ndjson")).toEqual(['1:"a', '2:b"']);
  });

  it("lose a byte order mark; UTF-16 is told", async () => {
    expect(await records('\ufeff"a"\nb', "csv", [1])).toEqual(['1:"a"', "2:b"]);
    expect(await records(Uint8Array.of(0xff, 0xfe, 0x61, 0), "ndjson")).toEqual([
      "1:!is UTF-16: save the file as UTF-8",
    ]);
  });

  it("are of at most a mebibyte: NDJSON goes on with the next line, CSV ends, for a quote may be open", async () => {
    const long = "x".repeat(RECORD_BYTES_MAX + 1);
    expect(await records(`a\n${long}${long}\nb\n`, "ndjson")).toEqual(["1:a", "2:!is longer than 1 MiB", "3:b"]);
    expect(await records(`a\n"${long}\nb,c\n`, "csv")).toEqual([
      "1:a",
      "2:!is longer than 1 MiB: is a quote left open?",
    ]);
    expect(await records('a\n"b\nc,d\n', "csv")).toEqual(["1:a", "2:!has a quote that is left open"]);
    expect(await records(`${"x".repeat(RECORD_BYTES_MAX)}\n`, "csv")).toHaveLength(1);
  });

  it("are read no further ahead than they are asked for", async () => {
    let read = 0;
    async function* source(): AsyncGenerator<Uint8Array> {
      for (;;) {
        read += 1;
        yield new TextEncoder().encode("a\nb\n");
      }
    }
    const found = readRecords(source(), "csv");
    for (let asked = 0; asked < 4; asked += 1) await found.next();
    expect(read).toBe(2);
  });

  it(`are the same however the file is cut into chunks, and what csv-parse makes of it (SEED=${SEED})`, async () => {
    const field = fc.string({ unit: fc.constantFrom("a", "é", '"', ",", "\n", "\r", " ", "😀"), maxLength: 6 });
    const rows = fc.array(fc.array(field, { minLength: 1, maxLength: 4 }), { maxLength: 8 });
    const sizes = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 5 });
    await fc.assert(
      fc.asyncProperty(rows, sizes, async (table, cuts) => {
        const quoted = table.map((row) => row.map((value) => `"${value.replaceAll('"', '""')}"`).join(","));
        const text = quoted.join("\n");
        const whole = await records(text, "csv");
        const fields = whole.map(
          (record) => parse(record.slice(record.indexOf(":") + 1), { record_delimiter: "\n" })[0],
        );
        expect(await records(text, "csv", cuts)).toEqual(whole);
        expect(fields).toEqual(table);
      }),
      { seed: SEED, numRuns: 200 },
    );
  });
});

describe("tenants of a CSV file", () => {
  it("have the columns of the header, empty ones left out, settings typed", async () => {
    const head = "id,display_name,plan,plan_version,integrator,region,time_zone,activate,admin_email";
    const typed = "labels.tier,settings.theme,settings.seats:int,settings.beta:bool,settings.ratio:double";
    const [full, least] = await tenants(
      `${head},${typed}\nacme,"Acme, ""Inc""",pro,2,nord,eu,Europe/Oslo,FALSE,a@b.org,gold,dark,5,TRUE,0.5\nleast,,plans/pro${",".repeat(11)}\n`,
      "csv",
    );
    expect(full).toEqual({
      line: 2,
      request: {
        tenantId: "acme",
        activate: false,
        adminEmail: "a@b.org",
        tenant: {
          displayName: 'Acme, "Inc"',
          plan: "plans/pro",
          planVersion: 2,
          integrator: "integrators/nord",
          region: "eu",
          timeZone: "Europe/Oslo",
          labels: { tier: "gold" },
          settings: {
            theme: { value: { case: "stringValue", value: "dark" } },
            seats: { value: { case: "intValue", value: 5n } },
            beta: { value: { case: "boolValue", value: true } },
            ratio: { value: { case: "doubleValue", value: 0.5 } },
          },
        },
      },
    });
    const defaults = {
      displayName: "least",
      plan: "plans/pro",
      planVersion: 0,
      integrator: "",
      region: "",
      timeZone: "",
    };
    expect(least).toEqual({
      line: 3,
      request: { tenantId: "least", activate: true, adminEmail: "", tenant: { ...defaults, labels: {}, settings: {} } },
    });
  });

  it("may be separated by commas, semicolons or tabs", async () => {
    for (const delimiter of [",", ";", "\t"]) {
      const text = [["id", "plan", "labels.note"].join(delimiter), ["acme", "pro", '"a,b;c\td"'].join(delimiter)];
      expect(await tenants(text.join("\r\n"), "csv")).toMatchObject([
        { request: { tenantId: "acme", tenant: { labels: { note: "a,b;c\td" } } } },
      ]);
    }
  });

  it("are told apart from what is none, line by line", async () => {
    const latin1 = Uint8Array.from(
      [..."id,plan\nok-1,pro\ncaf", "\xe9", ",pro\nok-2,pro\n"].flatMap((part) =>
        [...part].map((character) => character.charCodeAt(0)),
      ),
    );
    expect(await problems(latin1, "csv")).toEqual(["2: ok", "3: is not UTF-8", "4: ok"]);
    expect(await problems('id,plan,activate,plan_version\na,b\na,"b"c,,\n,,,\na,b,yes,-1\na,b,,\n', "csv")).toEqual([
      "2: has 2 values for 4 columns",
      "3: has a quote where none may be",
      "4: id must be set",
      "4: plan must be set",
      "5: activate must be true or false",
      "5: plan_version must be a whole number",
      "6: ok",
    ]);
  });

  it("are not looked for below a header that is wrong", async () => {
    const known = /There is no column "color": the columns are id, display_name, plan, .*settings\.\{key\}/;
    await expect(problems("id,plan,color\n", "csv")).rejects.toThrow(known);
    await expect(problems("id,plan,settings.n:date\n", "csv")).rejects.toThrow('no column "settings.n:date"');
    await expect(problems("id,plan,__proto__\n", "csv")).rejects.toThrow('no column "__proto__"');
    await expect(problems("id,plan,id\n", "csv")).rejects.toThrow("The column id is there twice.");
    await expect(problems('id,"plan"x\n', "csv")).rejects.toThrow("The header has a quote where none may be.");
    await expect(problems(Uint8Array.of(0x69, 0xff, 10), "csv")).rejects.toThrow("Line 1 is not UTF-8.");
    await expect(problems('id,plan\na,b\n"a,b\n', "csv")).rejects.toThrow(
      "Line 3 has a quote that is left open. Nothing after it was read.",
    );
  });
});

describe("tenants of an NDJSON file", () => {
  it("say by themselves of which type a setting is, and lose no digit", async () => {
    const [line] = await tenants(
      '{"id":"acme","plan":"pro","activate":false,"plan_version":3,"region":null,"labels":{"a":"b"},"labels.c":"d",' +
        '"settings":{"i":9007199254740993,"d":5.0,"e":1e3,"b":true,"s":"5"}}',
      "ndjson",
    );
    expect(line).toMatchObject({
      request: {
        activate: false,
        tenant: {
          planVersion: 3,
          region: "",
          labels: { a: "b", c: "d" },
          settings: {
            i: { value: { case: "intValue", value: 9_007_199_254_740_993n } },
            d: { value: { case: "doubleValue", value: 5 } },
            e: { value: { case: "doubleValue", value: 1_000 } },
            b: { value: { case: "boolValue", value: true } },
            s: { value: { case: "stringValue", value: "5" } },
          },
        },
      },
    });
  });

  it("are told apart from what is none, line by line", async () => {
    const lines = [
      "nonsense",
      "[1]",
      "5",
      "null",
      '{"id":5,"plan":{},"activate":1,"plan_version":"x"}',
      '{"id":"a","plan":"b","labels":{"a":1},"settings":{"a":[],"b":{}}}',
      '{"id":"a","plan":"b","labels":"a"}',
      '{"id":"a","plan":"b","__proto__":{"id":"z"},"constructor":1}',
      "[".repeat(500_000),
      '{"id":"a","plan":"b"}',
    ];
    const known = /; known are .*$/;
    const told = (await problems(lines.join("\n"), "ndjson")).map((text) => text.replace(known, ""));
    expect(told.map((text) => text.replace(/is not JSON: .*/, "is not JSON"))).toEqual([
      "1: is not JSON",
      "2: is not a JSON object",
      "3: is not a JSON object",
      "4: is not a JSON object",
      "5: id must be a text",
      "5: plan must be a text",
      "5: activate must be true or false",
      "5: plan_version must be a whole number",
      "6: labels.a must be a text",
      "6: settings.a must be a text, a number, true or false",
      "6: settings.b must be a text, a number, true or false",
      "7: labels is unknown",
      "8: __proto__ is unknown",
      "8: constructor is unknown",
      "9: is not JSON",
      "10: ok",
    ]);
  });

  it("keep labels of any name as labels", async () => {
    const [line] = await tenants('{"id":"a","plan":"b","labels":{"__proto__":"x","constructor":"y"}}', "ndjson");
    const labels = line && "request" in line ? line.request.tenant.labels : undefined;
    expect(Object.entries(labels ?? {})).toEqual([
      ["__proto__", "x"],
      ["constructor", "y"],
    ]);
  });
});
