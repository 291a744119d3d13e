/** Bad usage of the command, in the form of every other error; exit status 2. */
import { type Argument, Command, Help, type InvalidArgumentError, type Option } from "commander";
import { expectedGot } from "../errors.ts";
import { distance } from "../near.ts";

/** An argument or option that the command does not take. */
export class UsageError extends Error {
  override name = "UsageError";
}

/** The word that was probably meant: one that begins so, or the one with the fewest differences; none when all are far. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  const bare = word.toLowerCase();
  const begins = known.filter((each) => bare.replace(/^-+/, "").length > 1 && each.startsWith(bare));
  if (begins.length === 1) return begins[0];
  const [best] = known
    .map((each) => ({ each, far: distance(bare, each) }))
    .sort((a, b) => a.far - b.far || (a.each < b.each ? -1 : 1));
  return best !== undefined && best.far <= Math.max(1, Math.floor(bare.replace(/^-+/, "").length / 3))
    ? best.each
    : undefined;
}

/** `a, b or c` */
function oneOf(words: readonly string[]): string {
  return words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} or ${words.at(-1)}`;
}

const asked = (meant: string | undefined, otherwise: string): string =>
  meant === undefined ? otherwise : `did you mean ${meant}?`;

const isOption = (target: Option | Argument): target is Option => "flags" in target;

/**
 * A command whose usage errors are `UsageError`s. Commander calls the methods below by their names, which its types do not
 * have; `test/cli/silly.test.ts` notices if a later version calls others.
 */
export class CheckedCommand extends Command {
  override createCommand(name?: string): CheckedCommand {
    return new CheckedCommand(name);
  }

  get #help(): string {
    return `${this.parent === null ? "" : `${this.parent.name()} `}${this.name()} --help`;
  }

  unknownOption(flag: string): never {
    const name = flag.split("=")[0]!;
    const flags = new Help().visibleOptions(this).flatMap(({ long }) => long ?? []);
    const hint = asked(nearest(name, flags), `${this.#help} lists the options`);
    throw new UsageError(expectedGot(this.name(), "an option that it has", name, hint));
  }

  missingArgument(name: string): never {
    const { description = name } = this.registeredArguments.find((each) => each.name() === name) ?? {};
    throw new UsageError(expectedGot(this.name(), description, "nothing", `${this.#help} shows examples`));
  }

  optionMissingArgument({ flags, description }: Option): never {
    throw new UsageError(expectedGot(flags, "a value", "none", description));
  }

  missingMandatoryOptionValue({ flags, long, description }: Option): never {
    throw new UsageError(expectedGot(this.name(), flags, "none", `${long} is ${description}`));
  }

  _excessArguments(received: readonly string[]): void {
    const wanted = this.registeredArguments.length;
    const expected = wanted === 0 ? "options only" : `${wanted} argument${wanted === 1 ? "" : "s"}`;
    const got = `${received.length}: ${received.join(" ")}`;
    const hint = wanted === 0 ? `${this.#help} lists the options` : "put a name with spaces in quotes";
    throw new UsageError(expectedGot(this.name(), expected, wanted === 0 ? received.join(" ") : got, hint));
  }

  unknownCommand(): never {
    const [word = ""] = this.args;
    const names = this.commands.map((command) => command.name());
    const isPhoto = /\.(jpe?g|png|webp|gif|heic|avif)$/i.test(word);
    const example = `${this.name()} classify ${word}`;
    const hint = isPhoto ? `did you mean ${example}?` : asked(nearest(word, names), `the commands are ${oneOf(names)}`);
    throw new UsageError(expectedGot(this.name(), "a command", word, hint));
  }

  _callParseArg(target: Option | Argument, value: string, previous: unknown): unknown {
    const parse = target.parseArg as (value: string, previous: unknown) => unknown;
    try {
      return parse.call(target, value, previous);
    } catch (error) {
      if ((error as InvalidArgumentError)?.code !== "commander.invalidArgument") throw error;
      const where = isOption(target) ? (target.long ?? target.flags) : target.name();
      const got = value === "" ? "an empty text" : value;
      const { argChoices: choices } = target;
      if (choices === undefined) {
        throw new UsageError(expectedGot(where, (error as Error).message.replace(/^expected /, ""), got));
      }
      const meant = nearest(value, choices);
      throw new UsageError(
        expectedGot(where, oneOf(choices), got, meant === undefined ? undefined : `did you mean ${meant}?`),
      );
    }
  }
}
