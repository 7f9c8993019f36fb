/**
 * The log fields of a call, taken from its request and reply before their shape is known: ids and address, only if
 * they are short text. No decision depends on them.
 */
import type { LogFields } from '../core/log.ts';

/** @param body a request or a reply */
export function idFields(body: object): LogFields {
  const networkId = text(body, 'NetworkID');
  const endpointId = text(body, 'EndpointID');
  const sandboxKey = text(body, 'SandboxKey');
  const poolId = text(body, 'PoolID');
  const address = text(body, 'Address') ?? text(child(body, 'Interface'), 'Address');
  const link = text(child(body, 'InterfaceName'), 'SrcName');
  return {
    ...(networkId === undefined ? {} : { networkId }),
    ...(endpointId === undefined ? {} : { endpointId }),
    ...(sandboxKey === undefined ? {} : { sandboxKey }),
    ...(poolId === undefined ? {} : { poolId }),
    ...(address === undefined ? {} : { address }),
    ...(link === undefined ? {} : { link }),
  };
}

function text(body: object, key: string): string | undefined {
  const value = property(body, key);
  return typeof value === 'string' && value !== '' ? value.slice(0, 256) : undefined;
}

function child(body: object, key: string): object {
  const value = property(body, key);
  return typeof value === 'object' && value !== null ? value : {};
}

function property(body: object, key: string): unknown {
  return Object.hasOwn(body, key) ? Reflect.get(body, key) : undefined;
}
