/** The options of `lanius pool add` and `lanius pool set`, and the wishes that they make. The daemon reads the texts. */
import type { PoolWishes } from '../plugin/wire/admin-pools.ts';
import { type CommandInput, flagOption, listOption, type OptionSpec, stringOption } from './command.ts';

type Options = Readonly<Record<string, OptionSpec>>;

const RANGE = 'RANGE[,…]';

/** For the help of both commands. */
export const RANGE_HELP =
  'RANGE is FIRST-LAST, a subnet, or one address. A range may be for some only, after commas: LABEL=VALUE for hosts with\n' +
  'that label (host.labels), container=PATTERN for container names (with *, engine 29 or later), name=NAME to be\n' +
  'chosen with --ipam-opt range=NAME, select=none to be taken from in that way only. See docs/pools.md.';

/** What both commands have. */
export const POOL_OPTIONS: Options = {
  gateway: {
    type: 'string',
    value: 'ADDRESS',
    removable: true,
    description: 'The real router, given to containers; never given out itself',
  },
  range: {
    type: 'string',
    value: RANGE,
    multiple: true,
    removable: true,
    description: 'Give out addresses from here only; repeatable',
  },
  exclude: {
    type: 'string',
    value: 'RANGE',
    multiple: true,
    removable: true,
    description: 'Never give out these addresses by themselves; repeatable',
  },
  select: {
    type: 'string',
    value: 'none|LABEL=V…',
    removable: true,
    description: 'Hosts that get the pool without naming it; none: nobody does',
  },
  borrow: {
    type: 'boolean',
    removable: true,
    description: 'Where a selector does not fit or a range is full, take what is free elsewhere in the pool',
  },
  quota: {
    type: 'string',
    value: 'N',
    removable: true,
    description: 'Most addresses that one host may hold',
  },
  cooling: {
    type: 'string',
    value: 'TIME',
    removable: true,
    description: 'How long a released address rests, e.g. 60s (default ipam.coolingSeconds)',
  },
  sticky: {
    type: 'boolean',
    removable: true,
    description: 'Addresses follow container names (engine 29 or later)',
  },
  keep: {
    type: 'string',
    value: 'TIME',
    removable: true,
    description: 'How long a sticky address is kept for its name (default 7d)',
  },
  vlan: {
    type: 'string',
    value: 'ID',
    removable: true,
    description: 'Networks on the pool are in this VLAN',
  },
  'mac-prefix': {
    type: 'string',
    value: 'XX:XX',
    removable: true,
    description: 'First two bytes of the MAC addresses (default net.macPrefix)',
  },
  default: {
    type: 'string',
    value: 'KEY=VALUE',
    multiple: true,
    removable: true,
    description: 'net_in, net_out (rates) or arp for networks that say nothing; repeatable',
  },
};

/** What only `pool set` has. */
export const POOL_CHANGES: Options = {
  'add-range': {
    type: 'string',
    value: RANGE,
    multiple: true,
    description: 'One range more',
  },
  'rm-range': { type: 'string', value: 'NAME|RANGE', multiple: true, description: 'One range less' },
  'add-exclude': { type: 'string', value: 'RANGE', multiple: true, description: 'One exclude more' },
  'rm-exclude': { type: 'string', value: 'RANGE', multiple: true, description: 'One exclude less' },
};

export function wishesOf(input: CommandInput): PoolWishes {
  const text = <K extends keyof PoolWishes>(key: K, option: string = key) =>
    present(key, stringOption(input, option));
  const list = <K extends keyof PoolWishes>(key: K, option: string) =>
    present(key, listOption(input, option));
  const flag = <K extends keyof PoolWishes>(key: K) => present(key, flagOption(input, key));
  return {
    ...text('gateway'),
    ...list('ranges', 'range'),
    ...list('addRanges', 'add-range'),
    ...list('removeRanges', 'rm-range'),
    ...list('excludes', 'exclude'),
    ...list('addExcludes', 'add-exclude'),
    ...list('removeExcludes', 'rm-exclude'),
    ...text('select'),
    ...flag('borrow'),
    ...text('quota'),
    ...text('cooling'),
    ...flag('sticky'),
    ...text('keep'),
    ...text('vlan'),
    ...text('macPrefix', 'mac-prefix'),
    ...list('defaults', 'default'),
  };
}

function present<K extends string, T>(key: K, value: T | undefined): { readonly [P in K]?: T } {
  return value === undefined ? {} : ({ [key]: value } as { readonly [P in K]: T });
}
