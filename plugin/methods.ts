/**
 * The table of all plugin methods: name, shape of the request, handler. The server knows nothing else of them.
 *
 * Must not: decide anything. Each line ties a wire shape to a driver's verb.
 */
import type { z } from 'zod';
import type { IpamDriver } from './ipam-driver.ts';
import type { NetworkDriver } from './network-driver.ts';
import type { Call } from './ports.ts';
import type { ActivateReply } from './wire/activation.ts';
import { nothingRequest } from './wire/fields.ts';
import * as ipamWire from './wire/ipam.ts';
import * as wire from './wire/network.ts';

export interface PluginMethod {
  /**
   * The engine may send no body. For every other method an empty body is the retry of a call whose connection
   * broke, without its parameters, and is refused.
   */
  readonly emptyBody: boolean;
  /** It waits for a link to be made, for which a busy kernel takes longer than etcd may. */
  readonly waitsForKernel?: boolean;
  /** @throws z.ZodError if the request does not fit; DriverError */
  readonly handle: (request: unknown, call: Call) => Promise<object>;
}
export type PluginMethods = ReadonlyMap<string, PluginMethod>;

type Verb<T> = (request: T, call: Call) => object | Promise<object>;

interface MethodTraits {
  readonly emptyBody?: boolean;
  readonly waitsForKernel?: boolean;
}

function method<T>(request: z.ZodType<T>, verb: Verb<T>, traits: MethodTraits = {}): PluginMethod {
  const { emptyBody = false, waitsForKernel = false } = traits;
  return { emptyBody, waitsForKernel, handle: async (given, call) => await verb(request.parse(given), call) };
}

/** Engine methods by name, as they stand in the URL without the slash. */
export function pluginMethods(network: NetworkDriver, ipam: IpamDriver): PluginMethods {
  const activate = (): ActivateReply => ({ Implements: ['NetworkDriver', 'IpamDriver'] });
  return new Map([
    ['Plugin.Activate', method(nothingRequest, activate, { emptyBody: true })],
    ...networkMethods(network),
    ...ipamMethods(ipam),
  ]);
}

function networkMethods(driver: NetworkDriver): [string, PluginMethod][] {
  const methods: Record<string, PluginMethod> = {
    GetCapabilities: method(wire.networkCapabilitiesRequest, () => driver.getCapabilities(), {
      emptyBody: true,
    }),
    GwAllocCheck: method(wire.gwAllocCheckRequest, () => driver.gwAllocCheck()),
    CreateNetwork: method(wire.createNetworkRequest, (request, call) => driver.createNetwork(request, call)),
    DeleteNetwork: method(wire.networkRequest, (request, call) => driver.deleteNetwork(request, call)),
    AllocateNetwork: method(wire.allocateNetworkRequest, () => driver.allocateNetwork()),
    FreeNetwork: method(wire.networkRequest, () => driver.freeNetwork()),
    CreateEndpoint: method(wire.createEndpointRequest, (request, call) =>
      driver.createEndpoint(request, call),
    ),
    EndpointOperInfo: method(wire.endpointRequest, () => driver.endpointOperInfo()),
    DeleteEndpoint: method(wire.endpointRequest, (request, call) => driver.deleteEndpoint(request, call)),
    Join: method(wire.joinRequest, (request, call) => driver.join(request, call), { waitsForKernel: true }),
    Leave: method(wire.endpointRequest, (request) => driver.leave(request)),
    // Settings in the sandbox wait for the kernel as the link does.
    ProgramExternalConnectivity: method(
      wire.programRequest,
      (request, call) => driver.programExternalConnectivity(request, call),
      { waitsForKernel: true },
    ),
    RevokeExternalConnectivity: method(wire.endpointRequest, () => driver.revokeExternalConnectivity()),
    DiscoverNew: method(wire.discoverRequest, () => driver.discoverNew(), { emptyBody: true }),
    DiscoverDelete: method(wire.discoverRequest, () => driver.discoverDelete(), { emptyBody: true }),
  };
  return Object.entries(methods).map(([name, entry]) => [`NetworkDriver.${name}`, entry]);
}

function ipamMethods(driver: IpamDriver): [string, PluginMethod][] {
  const methods: Record<string, PluginMethod> = {
    GetCapabilities: method(ipamWire.ipamCapabilitiesRequest, () => driver.getCapabilities(), {
      emptyBody: true,
    }),
    GetDefaultAddressSpaces: method(ipamWire.addressSpacesRequest, () => driver.getDefaultAddressSpaces(), {
      emptyBody: true,
    }),
    RequestPool: method(ipamWire.requestPoolRequest, (request, call) => driver.requestPool(request, call)),
    ReleasePool: method(ipamWire.releasePoolRequest, (request, call) => driver.releasePool(request, call)),
    RequestAddress: method(ipamWire.requestAddressRequest, (request, call) =>
      driver.requestAddress(request, call),
    ),
    ReleaseAddress: method(ipamWire.releaseAddressRequest, (request, call) =>
      driver.releaseAddress(request, call),
    ),
  };
  return Object.entries(methods).map(([name, entry]) => [`IpamDriver.${name}`, entry]);
}
