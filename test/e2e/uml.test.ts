import { expect } from 'chai';
import { need } from '../support/require.ts';
import { runInUml, runMochaInUml, succeeded } from '../support/uml.ts';

describe('e2e/uml', function () {
  this.timeout(200_000);

  before(function () {
    need(this, 'root', 'lab', 'uml');
  });

  it('runs a script on a kernel with 802.1Q and returns its status and output', async () => {
    const script =
      'ip link add eth9 type dummy; ip link add link eth9 eth9.5 type vlan id 5 && echo "$WORD"; exit 7';
    expect(await runInUml(script, { env: { WORD: "it's made" } })).to.include({
      status: 7,
      output: "it's made\n",
    });
  });

  it('shows the checkout read-only and forgets what a run wrote', async () => {
    const output = await succeeded(
      runInUml('touch package.json 2>&1; test -e /etc/made || echo clean; touch /etc/made'),
    );
    expect(output).to.match(/Read-only file system\nclean\n$/);
    expect(await succeeded(runInUml('test -e /etc/made || echo clean'))).to.equal('clean\n');
  });

  it('carries VLANs over a trunk between two machines', async () => {
    const output = await succeeded(runMochaInUml('test/uml/vlan.js'));
    expect(output).to.contain('3 passing');
  });

  it('boots systemd, which runs the job as a unit and starts the engine on demand', async () => {
    const script = `set -e
      cat /proc/1/comm; systemctl is-active basic.target
      systemctl start docker.service
      docker info --format '{{.CgroupDriver}}'
      systemctl --failed --no-legend`;
    expect(await succeeded(runInUml(script, { mode: 'systemd' }))).to.equal('systemd\nactive\nsystemd\n');
  });
});
