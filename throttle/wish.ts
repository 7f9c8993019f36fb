/**
 * Which limit a container is meant to have, from everything that was said about it, strongest first: the override in etcd, the
 * endpoint's options, the container's environment, its labels, the network's options, the pool's defaults. Pure.
 *
 * INVARIANTS
 * - By direction. The strongest source that says a direction's rate decides all of it, burst, peak and min included; nothing is
 *   mixed from two sources. `none` is such a decision, too.
 * - A text that cannot be read never means "no limit" silently: it is told as a problem, and the next weaker source decides.
 * - The configured cap is the weakest source. It counts while the container is not known, so that what it says itself is
 *   unknown, and where a stronger source cannot be read.
 *
 * @see docs/limits.md, "Who decides"
 */
import { oneLine } from '../core/errors.ts';
import { DIRECTIONS, type Direction, type LimitSource, type Limits, type RateLimit } from '../core/limit.ts';
import {
  type KeyedTexts,
  LIMIT_PARTS,
  type LimitPart,
  type LimitTexts,
  limitKey,
  parseLimit,
  textsOf,
} from '../core/limit-text.ts';
import { shortened } from '../core/rate.ts';
import type { OverridesOfContainer } from './overrides.ts';

/** What a container says itself. Only keys that mean something here; all others may be left out. */
export interface ContainerTexts {
  /** Environment: `net_in`, `NET_IN`, … */
  readonly env: Readonly<Record<string, string>>;
  /** `lanius.net_in`, … */
  readonly labels: Readonly<Record<string, string>>;
}

export interface WishSources {
  readonly override?: OverridesOfContainer;
  readonly endpoint?: KeyedTexts;
  /** Absent: it is not known yet which container it is. */
  readonly container?: ContainerTexts;
  readonly network?: KeyedTexts;
  readonly pool?: KeyedTexts;
  readonly cap?: Limits;
  /** Where limits of the network are enforced; a guaranteed share (`min`) exists on the host's side only. */
  readonly enforce: 'sandbox' | 'host';
}

export interface DirectionWish {
  /** Absent: no limit. */
  readonly limit?: RateLimit;
  /** Absent: nobody said anything. */
  readonly source?: LimitSource;
  /** What was said and does not count, strongest first, one line each that names where it stands. */
  readonly problems: readonly string[];
  /** The one of them for which a start is to be refused: what the container says itself cannot be read. */
  readonly refusal?: string;
}

export type Wish = Readonly<Record<Direction, DirectionWish>>;

export const LABEL_PREFIX = 'lanius.';
/** What a container says itself. */
const OWN_WORDS: readonly LimitSource[] = ['env', 'label'];

/** @returns never throws, whatever the texts are */
export function wishOf(sources: WishSources): Wish {
  return { in: directionOf('in', sources), out: directionOf('out', sources) };
}

/** All problems of a wish, strongest source first within a direction. */
export function problemsOf(wish: Wish): readonly string[] {
  return DIRECTIONS.flatMap((direction) => wish[direction].problems);
}

/** The limits alone. */
export function limitsOf(wish: Wish): Limits {
  return {
    ...(wish.in.limit === undefined ? {} : { in: wish.in.limit }),
    ...(wish.out.limit === undefined ? {} : { out: wish.out.limit }),
  };
}

/** What one source says of a direction; `said` undefined: nothing, or nothing that can be read. */
interface Saying {
  readonly source: LimitSource;
  readonly said?: { readonly limit?: RateLimit };
  readonly problems: readonly string[];
  /** Something stands there that cannot be read. */
  readonly unreadable: boolean;
}

function directionOf(direction: Direction, sources: WishSources): DirectionWish {
  const problems: string[] = [];
  let unreadable = false;
  let refusal: { readonly refusal?: string } = {};
  for (const saying of sayingsOf(direction, sources)) {
    const { source, said } = saying;
    problems.push(...saying.problems);
    unreadable ||= saying.unreadable;
    const text = saying.problems.at(-1);
    if (saying.unreadable && text !== undefined && OWN_WORDS.includes(source)) refusal = { refusal: text };
    if (said !== undefined) return { ...decided(direction, source, said, problems, sources), ...refusal };
  }
  const cap = sources.cap?.[direction];
  if (cap !== undefined && (sources.container === undefined || unreadable))
    return { ...decided(direction, 'cap', { limit: cap }, problems, sources), ...refusal };
  return { problems, ...refusal };
}

function decided(
  direction: Direction,
  source: LimitSource,
  { limit }: { readonly limit?: RateLimit },
  problems: readonly string[],
  { enforce }: WishSources,
): DirectionWish {
  if (limit?.minBitsPerSecond === undefined || enforce === 'host')
    return { ...(limit === undefined ? {} : { limit }), source, problems };
  const { minBitsPerSecond: _, ...rest } = limit;
  const where = source === 'override' ? 'the override' : nameOf(source, direction, 'min');
  const told = `${where}: a share for sure exists only on networks with -o enforce=host: leave it out, or use such a network`;
  return { limit: rest, source, problems: [...problems, told] };
}

function* sayingsOf(direction: Direction, sources: WishSources): Generator<Saying> {
  const override = sources.override?.[direction];
  if (override !== undefined) yield ofOverride(override);
  yield ofTexts('endpoint', direction, textsOf(direction, sources.endpoint ?? {}));
  if (sources.container !== undefined) {
    yield ofEnv(direction, sources.container.env);
    yield ofTexts('label', direction, labelTexts(direction, sources.container.labels));
  }
  yield ofTexts('network', direction, textsOf(direction, sources.network ?? {}));
  yield ofTexts('pool', direction, textsOf(direction, sources.pool ?? {}));
}

function ofOverride(override: NonNullable<OverridesOfContainer[Direction]>): Saying {
  const { limit, problem } = override;
  const told = problem === undefined ? [] : [oneLine(problem)];
  const said = problem === undefined ? { said: limit === undefined ? {} : { limit } } : {};
  return { source: 'override', ...said, problems: told, unreadable: problem !== undefined };
}

function ofTexts(
  source: LimitSource,
  direction: Direction,
  texts: LimitTexts,
  name = (part: LimitPart) => nameOf(source, direction, part),
): Saying {
  if (Object.keys(texts).length === 0) return { source, problems: [], unreadable: false };
  try {
    const limit = parseLimit(texts, name);
    // Empty texts of other parts alone say nothing about the rate.
    const said = texts.rate === undefined ? {} : { said: limit === undefined ? {} : { limit } };
    return { source, ...said, problems: [], unreadable: false };
  } catch (error) {
    const problem = oneLine(error instanceof Error ? error.message : String(error));
    return { source, problems: [problem], unreadable: true };
  }
}

/** Both spellings of a key may stand there. Where they differ the small letters count, and that is told. */
function ofEnv(direction: Direction, env: Readonly<Record<string, string>>): Saying {
  const texts: { -readonly [P in LimitPart]?: string } = {};
  const names = new Map<LimitPart, string>();
  const problems: string[] = [];
  for (const part of LIMIT_PARTS) {
    const key = limitKey(direction, part);
    const small = own(env, key);
    const large = own(env, key.toUpperCase());
    const text = small ?? large;
    if (text === undefined) continue;
    texts[part] = text;
    names.set(part, small === undefined ? key.toUpperCase() : key);
    if (small !== undefined && large !== undefined && small.trim() !== large.trim()) {
      problems.push(
        `env ${key}: ${shortened(small)} counts, but ${key.toUpperCase()} says ${shortened(large)}: leave one of them out`,
      );
    }
  }
  const name = (part: LimitPart) => `env ${names.get(part) ?? limitKey(direction, part)}`;
  const saying = ofTexts('env', direction, texts, name);
  return { ...saying, problems: [...problems, ...saying.problems] };
}

function labelTexts(direction: Direction, labels: Readonly<Record<string, string>>): LimitTexts {
  const texts: { -readonly [P in LimitPart]?: string } = {};
  for (const part of LIMIT_PARTS) {
    const text = own(labels, `${LABEL_PREFIX}${limitKey(direction, part)}`);
    if (text !== undefined) texts[part] = text;
  }
  return texts;
}

function own(texts: Readonly<Record<string, string>>, key: string): string | undefined {
  return Object.hasOwn(texts, key) ? texts[key] : undefined;
}

/** Where a text stands, in the words in which it was given. */
function nameOf(source: LimitSource, direction: Direction, part: LimitPart): string {
  const key = limitKey(direction, part);
  switch (source) {
    case 'endpoint':
      return `--driver-opt ${key}`;
    case 'env':
      return `env ${key}`;
    case 'label':
      return `label ${LABEL_PREFIX}${key}`;
    case 'network':
      return `-o ${key}`;
    case 'pool':
      return `pool default ${key}`;
    case 'override':
      return `override ${key}`;
    case 'cap':
      return `the configured cap ${key}`;
  }
}
