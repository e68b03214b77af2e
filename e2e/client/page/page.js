// A page of the portal as its author would write one: the package's client, and notes of what it hears. The address tells
// the page who its user is and where the portal's REST is: ?user=7&rest=https://...
'use strict';

const address = new URLSearchParams(location.search);
const user = Number(address.get('user'));

const heard = []; // events, as a module's handlers get them
const said = []; // by the client to its log

const log = {};
for (const level of ['debug', 'info', 'notice', 'warning', 'error', 'critical', 'alert', 'emergency']) {
    log[level] = async (text, context) => {
        said.push({ level, text: text + (context?.error ? ` ${context.error}` : '') });
    };
}

const pull = new B24Js.B24PullClientManager({
    b24: B24Js.B24Hook.fromWebhookUrl(address.get('rest')),
    userId: user,
    siteId: 's1',
});
pull.setLogger(log);

for (const type of ['server', 'client']) {
    pull.subscribe({ type, moduleId: 'e2e', callback: (event) => heard.push({ type, ...event }) });
}

const started = pull.start().then(() => pull.setLogger(log)); // again, for it has made its connectors now
