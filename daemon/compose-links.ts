/** The part of the composition that is about links: what networks stand on, how endpoints get theirs, what is set in sandboxes. */
import { systemClock } from '../core/clock.ts';
import type { Logger } from '../core/log.ts';
import { AddressAdoption, type AdoptionRecords } from '../links/address-adoption.ts';
import { Attachments } from '../links/attachments.ts';
import { BridgeMode } from '../links/bridge-mode.ts';
import { BridgeUplink } from '../links/bridge-uplink.ts';
import { EndpointRevival } from '../links/endpoint-revival.ts';
import { HostAccess, HostAccessRules } from '../links/host-access.ts';
import { HostAccessSetting } from '../links/host-access-setting.ts';
import { HostSurvey } from '../links/host-survey.ts';
import { IpvlanMode, IpvlanParents } from '../links/ipvlan-mode.ts';
import { MacvlanMode } from '../links/macvlan-mode.ts';
import { SandboxKeeper } from '../links/sandbox-keeper.ts';
import { UplinkKeeper } from '../links/uplink-keeper.ts';
import { Uplinks } from '../links/uplinks.ts';
import { VlanUplink } from '../links/vlan-uplink.ts';
import { KernelBridges } from '../net/bridges.ts';
import { KernelIpvlans } from '../net/ipvlan-port.ts';
import { KernelLostLinks } from '../net/kernel-lost-links.ts';
import { KernelVlans } from '../net/kernel-vlans.ts';
import type { KernelWorker } from '../net/kernel-worker.ts';
import { LinkEvents } from '../net/link-events.ts';
import type { NetPort } from '../net/port.ts';
import { KernelResponder } from '../net/responder.ts';
import { KernelSandboxes } from '../net/sandbox-port.ts';
import { KernelShims } from '../net/shim-port.ts';
import { KernelVeths } from '../net/veths.ts';
import type { EndpointRecord, NetworkRecord } from '../store/host-records.ts';
import type { ArpComposition } from './compose-arp.ts';
import type { ThrottleComposition } from './compose-throttle.ts';

export interface LinkParts {
  readonly kernel: KernelWorker;
  readonly net: NetPort;
  readonly networks: { list(): readonly NetworkRecord[]; get(id: string): NetworkRecord | undefined };
  readonly endpoints: { list(): readonly EndpointRecord[]; get(id: string): EndpointRecord | undefined };
  readonly adoptions: AdoptionRecords;
  /** Of this boot of the host. */
  readonly bootId: string;
  /** Ids of the networks of our driver that the engine has. @throws EngineUnavailable */
  readonly engineNetworks: () => Promise<readonly string[]>;
  /** Ids of the endpoints on them. @throws EngineUnavailable */
  readonly engineEndpoints: () => Promise<ReadonlySet<string>>;
  readonly arp: ArpComposition;
  /** Bandwidth limits; absent: there are none. */
  readonly throttle?: Pick<ThrottleComposition, 'setting' | 'places' | 'uplinkPart'>;
  readonly logger: Logger;
}

export function composeLinks({
  kernel,
  net,
  networks,
  endpoints,
  adoptions,
  bootId,
  engineNetworks,
  engineEndpoints,
  arp,
  throttle,
  logger,
}: LinkParts) {
  const shims = new KernelShims(kernel);
  const hostAccess = new HostAccess({ shims, net, networks, endpoints, logger });
  const ipvlans = new KernelIpvlans(kernel);
  const attachments = new Attachments({
    net,
    hostAccess,
    modes: {
      macvlan: new MacvlanMode({ net }),
      bridge: new BridgeMode({ veths: new KernelVeths(kernel) }),
      ipvlan: new IpvlanMode({ ipvlans }),
    },
  });
  const vlans = new KernelVlans(kernel);
  const bridges = new KernelBridges(kernel);
  const adoption = new AddressAdoption({ bootId }, { bridges, adoptions, logger });
  const bridgeUplink = new BridgeUplink({ net, bridges, adoption, networks, endpoints, logger });
  const uplinks = new Uplinks({
    parts: [
      new HostAccessRules(),
      new VlanUplink({ net, vlans, logger }),
      new IpvlanParents({ ipvlans, networks }),
      bridgeUplink,
      hostAccess,
      arp.uplinkPart,
      ...(throttle === undefined ? [] : [throttle.uplinkPart]),
    ],
    networks,
    engineNetworks,
    logger,
  });
  const lostLinks = new KernelLostLinks(kernel);
  const revival = new EndpointRevival({ lostLinks, endpoints, networks, logger });
  const returned = (names: ReadonlySet<string>): Promise<void> => revival.revive(names);
  const survey = new HostSurvey(
    {},
    { net, shims, responder: new KernelResponder(kernel), networks, endpoints, adoptions, engineEndpoints },
  );
  const uplinkKeeper = new UplinkKeeper({}, { uplinks, networks, returned, logger });
  const events = new LinkEvents({}, { log: logger });
  const sandboxes = new SandboxKeeper(
    {},
    {
      // Limits first: what the process sends before the others are in force matters less.
      settings: [
        ...(throttle === undefined ? [] : [throttle.setting, throttle.places]),
        arp.setting,
        new HostAccessSetting({ hostAccess, shims }),
      ],
      events,
      sandboxes: new KernelSandboxes(kernel),
      networks,
      endpoints,
      clock: systemClock,
      random: Math.random,
      logger,
    },
  );
  arp.onChange(() => sandboxes.checkAll());
  events.onHostLink((event) => uplinkKeeper.heard(event));
  events.onEvents((batch) => revival.heard(batch));
  return { attachments, bridgeUplink, hostAccess, survey, uplinks, uplinkKeeper, revival, events, sandboxes };
}
