/**
 * Keys of the store, read back: which object a key is about. The inverse of store/layout.ts, for those who read
 * everything (check, export, import) and must also meet keys that should not be there.
 */
import { ipFromHex, ipToHex, parseCidr } from '../../core/ip.ts';
import { type LimitKey, limitOfPath, poolKeyOf } from '../../store/layout.ts';

/** `pool` is the pool's part of the key, e.g. `10.77.0.0-16`; `hex` that of the address. */
export type StoreKey =
  | { readonly kind: 'pool'; readonly pool: string }
  | { readonly kind: 'use'; readonly pool: string; readonly host: string }
  | { readonly kind: 'lease'; readonly pool: string; readonly hex: string }
  | { readonly kind: 'name'; readonly pool: string; readonly name: string }
  | { readonly kind: 'cooling'; readonly pool: string; readonly hex: string }
  | { readonly kind: 'mac'; readonly pool: string; readonly hex: string }
  | { readonly kind: 'hold'; readonly pool: string; readonly hex: string; readonly host: string }
  | { readonly kind: 'index'; readonly host: string; readonly pool: string; readonly hex: string }
  | { readonly kind: 'host'; readonly host: string }
  | { readonly kind: 'session'; readonly host: string }
  | { readonly kind: 'dead'; readonly host: string }
  | { readonly kind: 'limit'; readonly limit: LimitKey }
  | { readonly kind: 'bandwidth'; readonly host: string }
  | { readonly kind: 'mark' };

/**
 * @param path the key without the prefix, e.g. `leases/10.77.0.0-16/0a4d0005`
 * @returns undefined for a key that no Lanius of this version writes
 */
export function parseStoreKey(path: string): StoreKey | undefined {
  const [family, ...parts] = path.split('/');
  const [a = '', b = '', c = ''] = parts;
  if (parts.includes('')) return undefined;
  switch (`${family}/${parts.length}`) {
    case 'pools/1':
      return isPool(a) ? { kind: 'pool', pool: a } : undefined;
    case 'uses/2':
      return isPool(a) ? { kind: 'use', pool: a, host: b } : undefined;
    case 'leases/2':
      return isPool(a) && isHex(b) ? { kind: 'lease', pool: a, hex: b } : undefined;
    case 'names/2':
      return isPool(a) ? { kind: 'name', pool: a, name: b } : undefined;
    case 'cooling/2':
      return isPool(a) && isHex(b) ? { kind: 'cooling', pool: a, hex: b } : undefined;
    case 'macs/2':
      return isPool(a) && isHex(b) ? { kind: 'mac', pool: a, hex: b } : undefined;
    case 'holds/3':
      return isPool(a) && isHex(b) ? { kind: 'hold', pool: a, hex: b, host: c } : undefined;
    case 'by-host/3':
      return isPool(b) && isHex(c) ? { kind: 'index', host: a, pool: b, hex: c } : undefined;
    case 'hosts/1':
      return { kind: 'host', host: a };
    case 'sessions/1':
      return { kind: 'session', host: a };
    case 'dead/1':
      return { kind: 'dead', host: a };
    case 'limits/3':
    case 'limits/4': {
      const limit = limitOfPath(parts.join('/'));
      return limit === undefined ? undefined : { kind: 'limit', limit };
    }
    case 'bandwidth/1':
      return { kind: 'bandwidth', host: a };
    case 'stations/1':
    case 'dead-wait/1':
    case 'poolset/0':
    case 'sweeper/0':
      return { kind: 'mark' };
    default:
      return undefined;
  }
}

const knownPools = new Map<string, boolean>();

/** Asked for every key; there are few pools. */
function isPool(text: string): boolean {
  const known = knownPools.get(text);
  if (known !== undefined) return known;
  if (knownPools.size > 10_000) knownPools.clear();
  const answer = isCanonical(text);
  knownPools.set(text, answer);
  return answer;
}

function isCanonical(text: string): boolean {
  try {
    return poolKeyOf(parseCidr(text.replace(/-(\d+)$/, '/$1'))) === text;
  } catch {
    return false;
  }
}

function isHex(text: string): boolean {
  try {
    return ipToHex(ipFromHex(text)) === text;
  } catch {
    return false;
  }
}
