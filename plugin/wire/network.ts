/**
 * Requests and replies of NetworkDriver.*.
 * Source: moby libnetwork/drivers/remote/api/api.go and libnetwork/docs/remote.md; recorded on engines 20.10 to 29.
 */
import { z } from 'zod';
import {
  cidrField,
  endpointIdField,
  interfaceField,
  listOf,
  networkIdField,
  nothingReply,
  nothingRequest,
  optionsField,
} from './fields.ts';

/** All `-o key=value` of a network, in CreateNetwork.Options. @see moby libnetwork/netlabel/labels.go */
export const GENERIC_OPTION = 'com.docker.network.generic';
/** `--internal`, in CreateNetwork.Options. */
export const INTERNAL_OPTION = 'com.docker.network.internal';
/** What `-p` and `-P` want published, in CreateEndpoint.Options. */
export const PORTMAP_OPTION = 'com.docker.network.portmap';

/** GetCapabilities. An answer that does not fit keeps the driver from being registered. */
export const networkCapabilitiesRequest = nothingRequest;
export const networkCapabilitiesReply = z.object({
  Scope: z.enum(['local', 'global']),
  ConnectivityScope: z.enum(['local', 'global']).optional(),
  GwAllocChecker: z.boolean().optional(),
});
export type NetworkCapabilitiesReply = z.infer<typeof networkCapabilitiesReply>;

/** GwAllocCheck: engine 28 on, only if announced. `Options` as in CreateNetwork. */
export const gwAllocCheckRequest = z.object({ Options: optionsField });
export const gwAllocCheckReply = z.object({ SkipIPv4: z.boolean(), SkipIPv6: z.boolean() });
export type GwAllocCheckReply = z.infer<typeof gwAllocCheckReply>;

/** One subnet of a network as its IPAM driver answered it. @see libnetwork/driverapi IPAMData */
export const ipamData = z.object({
  AddressSpace: z.string(),
  Pool: cidrField,
  Gateway: interfaceField,
  AuxAddresses: z
    .record(z.string(), interfaceField)
    .nullish()
    .transform((addresses) => addresses ?? {}),
});
export type IpamData = z.infer<typeof ipamData>;

/** CreateNetwork: never replayed, carries neither name nor labels. @see libnetwork/docs/remote.md#create-network */
export const createNetworkRequest = z.object({
  NetworkID: networkIdField,
  Options: optionsField,
  IPv4Data: listOf(ipamData),
  IPv6Data: listOf(ipamData),
});
export type CreateNetworkRequest = z.infer<typeof createNetworkRequest>;
export const createNetworkReply = nothingReply;

/** DeleteNetwork, FreeNetwork. */
export const networkRequest = z.object({ NetworkID: networkIdField });
export type NetworkRequest = z.infer<typeof networkRequest>;
export const deleteNetworkReply = nothingReply;
export const freeNetworkReply = nothingReply;

/** AllocateNetwork: managers of a swarm, for drivers of global scope only. */
export const allocateNetworkRequest = createNetworkRequest;
export const allocateNetworkReply = z.object({ Options: z.record(z.string(), z.string()) });
export type AllocateNetworkReply = z.infer<typeof allocateNetworkReply>;

/** CreateEndpoint. `Options` also holds every endpoint `--driver-opt`. @see libnetwork/docs/remote.md#create-endpoint */
export const createEndpointRequest = z.object({
  NetworkID: networkIdField,
  EndpointID: endpointIdField,
  Interface: z
    .object({ Address: interfaceField, AddressIPv6: interfaceField, MacAddress: z.string().nullish() })
    .nullish(),
  Options: optionsField,
});
export type CreateEndpointRequest = z.infer<typeof createEndpointRequest>;
/** A field that the request had set already must not come back: the engine undoes the endpoint then. */
export const createEndpointReply = z.object({
  Interface: z
    .object({
      Address: z.string().optional(),
      AddressIPv6: z.string().optional(),
      MacAddress: z.string().optional(),
    })
    .optional(),
});
export type CreateEndpointReply = z.infer<typeof createEndpointReply>;

/** What CreateEndpoint.Options[{@link PORTMAP_OPTION}] holds; a `HostPort` of 0 means "any" (`-P`). */
export const portmap = listOf(
  z.object({ Port: z.number(), HostIP: z.string().nullish(), HostPort: z.number().nullish() }),
);

/** EndpointOperInfo, DeleteEndpoint, Leave, RevokeExternalConnectivity. */
export const endpointRequest = z.object({ NetworkID: networkIdField, EndpointID: endpointIdField });
export type EndpointRequest = z.infer<typeof endpointRequest>;
/** To engine 27 an error here ends the start of the container. */
export const endpointOperInfoReply = z.object({ Value: z.record(z.string(), z.unknown()) });
export type EndpointOperInfoReply = z.infer<typeof endpointOperInfoReply>;
export const deleteEndpointReply = nothingReply;
export const leaveReply = nothingReply;
export const revokeReply = nothingReply;

/**
 * Join: to engine 27 the file `SandboxKey` does not exist yet, from 28 on it does.
 * @see libnetwork/docs/remote.md#join
 */
export const joinRequest = z.object({
  NetworkID: networkIdField,
  EndpointID: endpointIdField,
  SandboxKey: z.string().regex(/^\/[\x21-\x7e]{1,255}$/, 'is not the path of a network namespace'),
  Options: optionsField,
});
export type JoinRequest = z.infer<typeof joinRequest>;
/** `DstName` is ignored by every engine; gateways are bare addresses. */
export const joinReply = z.object({
  InterfaceName: z.object({ SrcName: z.string(), DstPrefix: z.string(), DstName: z.string().optional() }),
  Gateway: z.string().optional(),
  GatewayIPv6: z.string().optional(),
  StaticRoutes: z
    .array(z.object({ Destination: z.string(), RouteType: z.number(), NextHop: z.string().optional() }))
    .optional(),
  DisableGatewayService: z.boolean().optional(),
});
export type JoinReply = z.infer<typeof joinReply>;

/** ProgramExternalConnectivity: `Options` = the exposed and published ports of the sandbox. May repeat. */
export const programRequest = z.object({
  NetworkID: networkIdField,
  EndpointID: endpointIdField,
  Options: optionsField,
});
export const programReply = nothingReply;

/** DiscoverNew, DiscoverDelete: nodes of a swarm. */
export const discoverRequest = z.object({
  DiscoveryType: z.number().nullish(),
  DiscoveryData: z.unknown().optional(),
});
export const discoverReply = nothingReply;
