/** What a race's parent, which plays the engine, and its host processes say to each other over the IPC channel. */

export interface HostSetting {
  readonly name: string;
  readonly stateDir: string;
  /** `127.0.0.1:port` of every member. */
  readonly etcd: readonly string[];
  readonly subnet: string;
  /** Absent: reconciliation never runs by itself. */
  readonly reconcileEveryMs?: number;
  /** @see race-sabotage.ts */
  readonly sabotage?: string;
}

export type ToHost =
  | { readonly do: 'take'; readonly call: number; readonly timeoutMs: number; readonly address?: string }
  | { readonly do: 'release'; readonly call: number; readonly address: string }
  /** The endpoint's way in is done; not answered. */
  | { readonly do: 'note'; readonly address: string }
  | { readonly do: 'reconcile'; readonly call: number }
  /** What the engine shows now; answers `show`. */
  | { readonly do: 'shown'; readonly call: number; readonly addresses: readonly string[] };

export type FromHost =
  | { readonly did: 'ready' }
  | { readonly did: 'take'; readonly call: number; readonly address: string }
  | { readonly did: 'release' | 'reconcile'; readonly call: number }
  | { readonly did: 'refuse'; readonly call: number; readonly reason: string; readonly unknown: boolean }
  | { readonly did: 'show'; readonly call: number };
