/**
 * The operations of the kernel worker, as types: argument and result of each. What it does for them is in the file
 * that `worker.ts` names; here they only come together.
 */

import type { ArpProbeOperations } from './arp-probe.ts';
import type { BridgeOperations } from './bridge.ts';
import type { BridgeMoveOperations } from './bridge-move.ts';
import type { IpvlanOperations } from './ipvlan.ts';
import type { LostLinkOperations } from './lost-link.ts';
import type { NeighbourOperations } from './neighbour-operations.ts';
import type { Operation } from './operation.ts';
import type { KernelFeatures, LinkInfo, MacvlanSpec } from './port.ts';
import type { ResponderOperations } from './responder-operations.ts';
import type { SandboxOperations } from './sandbox-operations.ts';
import type { HostShapingOperations } from './shaping/host-operations.ts';
import type { ShapingOperations } from './shaping/operations.ts';
import type { ShimOperations } from './shim.ts';
import type { HostRouteOperations } from './shim-routes.ts';
import type { VethOperations } from './veth.ts';
import type { VlanOperations } from './vlan.ts';

export type { Handlers, Operation } from './operation.ts';

export interface LinkOperations {
  readonly macvlanAdd: Operation<MacvlanSpec, LinkInfo>;
  readonly linkDelete: Operation<string, boolean>;
  readonly linkGet: Operation<string, LinkInfo | undefined>;
  readonly linkList: Operation<undefined, LinkInfo[]>;
  readonly linkListIn: Operation<string, LinkInfo[] | undefined>;
  readonly probe: Operation<undefined, KernelFeatures>;
}

export interface KernelOperations
  extends LinkOperations,
    SandboxOperations,
    NeighbourOperations,
    ArpProbeOperations,
    IpvlanOperations,
    ResponderOperations,
    LostLinkOperations,
    VlanOperations,
    BridgeOperations,
    BridgeMoveOperations,
    VethOperations,
    ShimOperations,
    HostRouteOperations,
    ShapingOperations,
    HostShapingOperations {}
export type OperationName = keyof KernelOperations;
