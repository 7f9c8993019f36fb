/**
 * What the Engine API answers, as far as Lanius reads it, and its translation to engine/port.ts. Engines from
 * 20.10 to 29 differ in null against absent against empty text; all three mean "nothing" here.
 *
 * @see Docker Engine API: NetworkInspect, ContainerList, SystemVersion, SystemEvents
 */
import { z } from 'zod';
import type { EngineContainer, EngineEndpoint, EngineNetwork } from './port.ts';

const text = z.string().nullish();

export const versionReply = z.object({ Version: z.string(), ApiVersion: z.string() });

export const networkReply = z.object({
  Id: z.string(),
  Name: z.string(),
  Driver: z.string(),
  Internal: z.boolean().nullish(),
  IPAM: z.object({ Driver: text, Config: z.array(z.object({ Subnet: text })).nullish() }).nullish(),
  /** Only in the answer of an inspect. The key is the container id, or `ep-<endpoint id>` during a start. */
  Containers: z
    .record(
      z.string(),
      z.object({
        Name: text,
        EndpointID: text,
        MacAddress: text,
        IPv4Address: text,
        IPv6Address: text,
      }),
    )
    .nullish(),
});
export type NetworkReply = z.infer<typeof networkReply>;

export const containerReply = z.object({
  Id: z.string(),
  Names: z.array(z.string()).nullish(),
  State: z.string(),
  Labels: z.record(z.string(), z.string()).nullish(),
  NetworkSettings: z
    .object({
      Networks: z
        .record(
          z.string(),
          z
            .object({
              NetworkID: text,
              EndpointID: text,
              IPAddress: text,
              GlobalIPv6Address: text,
              MacAddress: text,
            })
            .nullable(),
        )
        .nullish(),
    })
    .nullish(),
});
type ContainerReply = z.infer<typeof containerReply>;

/** What of a container its name is looked up by. */
export const namedReply = z.object({ Id: z.string(), Names: z.array(z.string()).nullish() });

export const infoReply = z.object({ DockerRootDir: text });

/** One line of the event stream; fields of old engines (`status`, `id`) are left out. */
export const eventReply = z.object({
  Type: z.string(),
  Action: z.string(),
  Actor: z.object({ ID: z.string() }),
});

const STARTING = 'ep-';

export function toNetwork(reply: NetworkReply): EngineNetwork {
  return {
    networkId: reply.Id,
    name: reply.Name,
    driver: reply.Driver,
    ipamDriver: reply.IPAM?.Driver ?? '',
    subnets: (reply.IPAM?.Config ?? [])
      .map((config) => config.Subnet ?? '')
      .filter((subnet) => subnet !== ''),
    internal: reply.Internal ?? false,
    endpoints: Object.entries(reply.Containers ?? {}).map(([key, endpoint]) => ({
      networkId: reply.Id,
      endpointId: endpoint.EndpointID || (key.startsWith(STARTING) ? key.slice(STARTING.length) : ''),
      ...(key.startsWith(STARTING) ? {} : { containerId: key }),
      ...field('containerName', endpoint.Name),
      ...field('ipv4', bare(endpoint.IPv4Address)),
      ...field('ipv6', bare(endpoint.IPv6Address)),
      ...field('macAddress', endpoint.MacAddress),
    })),
  };
}

/** Endpoints of stopped containers are left out: the engine lists the network, but no endpoint id. */
export function toContainer(reply: ContainerReply): EngineContainer {
  const name = (reply.Names?.[0] ?? '').replace(/^\//, '');
  return {
    containerId: reply.Id,
    name,
    state: reply.State,
    labels: reply.Labels ?? {},
    endpoints: Object.values(reply.NetworkSettings?.Networks ?? {}).flatMap((endpoint): EngineEndpoint[] =>
      endpoint?.EndpointID && endpoint.NetworkID
        ? [
            {
              networkId: endpoint.NetworkID,
              endpointId: endpoint.EndpointID,
              containerId: reply.Id,
              containerName: name,
              ...field('ipv4', endpoint.IPAddress),
              ...field('ipv6', endpoint.GlobalIPv6Address),
              ...field('macAddress', endpoint.MacAddress),
            },
          ]
        : [],
    ),
  };
}

function bare(address: string | null | undefined): string | undefined {
  return address?.replace(/\/.*/, '');
}

function field<K extends string>(key: K, value: string | null | undefined): { [P in K]?: string } {
  return (value ? { [key]: value } : {}) as { [P in K]?: string };
}
