/** Doctor's check of the ARP responder: does it stand in the kernel so that it outlives the daemon? */
import type { ResponderPort } from '../net/responder.ts';
import type { DoctorCheck } from '../plugin/wire/admin.ts';

/** Nothing where no network has one: whether the kernel could is said with the network that wants it. */
export async function checkResponder(responder: Pick<ResponderPort, 'standing'>): Promise<DoctorCheck[]> {
  const { networkIds, unpinned } = await responder.standing();
  if (networkIds.length === 0) return [];
  const check = 'arp responder';
  const finding = `it serves ${networkIds.length === 1 ? '1 network' : `${networkIds.length} networks`} of this host`;
  if (unpinned === undefined) return [{ check, status: 'ok', finding }];
  return [
    {
      check,
      status: 'warn',
      finding: `${finding}, but could not be pinned, so after a restart it is made anew: ${unpinned}`,
      remedy:
        'mount -t bpf bpf /sys/fs/bpf; mkdir /sys/fs/bpf/lanius; restart the daemon, whose unit lets it write there',
    },
  ];
}
