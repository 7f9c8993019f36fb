/**
 * Requests and replies of IpamDriver.*.
 * Source: moby libnetwork/ipams/remote/api/api.go and libnetwork/docs/ipam.md; recorded on engines 20.10 to 29.
 */
import { z } from 'zod';
import { cidrField, ipField, nothingReply, nothingRequest, optionsField, poolIdField } from './fields.ts';

/** In RequestAddress.Options; its value {@link GATEWAY_TYPE} marks the request for the network's gateway. */
export const ADDRESS_TYPE_OPTION = 'RequestAddressType';
export const GATEWAY_TYPE = 'com.docker.network.gateway';
/** In RequestAddress.Options from engine 29 on: the name of the container. */
export const ENDPOINT_NAME_OPTION = 'com.docker.network.endpoint.name';

/** GetCapabilities. @see libnetwork/docs/ipam.md#getcapabilities */
export const ipamCapabilitiesRequest = nothingRequest;
export const ipamCapabilitiesReply = z.object({
  RequiresMACAddress: z.boolean(),
  RequiresRequestReplay: z.boolean(),
});
export type IpamCapabilitiesReply = z.infer<typeof ipamCapabilitiesReply>;

/** GetDefaultAddressSpaces: once per network (to engine 26), before each RequestPool (from 27 on). */
export const addressSpacesRequest = nothingRequest;
export const addressSpacesReply = z.object({
  LocalDefaultAddressSpace: z.string(),
  GlobalDefaultAddressSpace: z.string(),
});
export type AddressSpacesReply = z.infer<typeof addressSpacesReply>;

/**
 * RequestPool: `Pool` = --subnet, `SubPool` = --ip-range, `Options` = --ipam-opt.
 * Engines 20.10 to 24 send host bits in the subnet; they are cleared here.
 * @see libnetwork/docs/ipam.md#requestpool
 */
export const requestPoolRequest = z.object({
  AddressSpace: z.string(),
  Pool: cidrField,
  SubPool: cidrField,
  Options: optionsField,
  V6: z.boolean().nullish(),
});
export type RequestPoolRequest = z.infer<typeof requestPoolRequest>;
export const requestPoolReply = z.object({
  PoolID: z.string(),
  Pool: z.string(),
  Data: z.record(z.string(), z.string()),
});
export type RequestPoolReply = z.infer<typeof requestPoolReply>;

/** ReleasePool. Never repeated by the engine, whatever the answer. */
export const releasePoolRequest = z.object({ PoolID: poolIdField });
export type ReleasePoolRequest = z.infer<typeof releasePoolRequest>;
export const releasePoolReply = nothingReply;

/** RequestAddress: `Address` = --gateway, --aux-address, --ip or "". @see libnetwork/docs/ipam.md#requestaddress */
export const requestAddressRequest = z.object({
  PoolID: poolIdField,
  Address: ipField,
  Options: optionsField,
});
export type RequestAddressRequest = z.infer<typeof requestAddressRequest>;
/** `Address` must carry a prefix length: it becomes the netmask. */
export const requestAddressReply = z.object({
  Address: z.string(),
  Data: z.record(z.string(), z.string()),
});
export type RequestAddressReply = z.infer<typeof requestAddressReply>;

/** ReleaseAddress: a bare address; also for gateways and aux addresses. Never repeated by the engine. */
export const releaseAddressRequest = z.object({ PoolID: poolIdField, Address: ipField });
export type ReleaseAddressRequest = z.infer<typeof releaseAddressRequest>;
export const releaseAddressReply = nothingReply;
