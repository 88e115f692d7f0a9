// The demo phone: a view of what the fake SMS provider received. It answers by
// sending a text message through that provider, and knows no other way.
'use strict';
const $ = (id) => document.getElementById(id);
const person = new URLSearchParams(location.search).get('person') || 'alice';
const phone = document.querySelector('.phone');
let seen = -1;

const el = (tag, text, cls) => {
  const n = document.createElement(tag);
  if (text) n.textContent = text;
  if (cls) n.className = cls;
  return n;
};
const hm = (t) => new Date(t).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });

function tick() {
  const now = new Date();
  $('clock').textContent = $('clock-small').textContent = hm(now);
  $('date').textContent = now.toLocaleDateString([], { weekday: 'long', day: 'numeric', month: 'long' });
}

function view(name) {
  phone.dataset.view = name;
  if (name === 'thread') {
    $('bubbles').scrollTop = $('bubbles').scrollHeight;
    $('text').focus({ preventScroll: true });
  }
}

// Links in a message open in a page of their own, as they would on a phone.
function linked(node, text) {
  let at = 0;
  for (const m of text.matchAll(/https?:\/\/[^\s]+[^\s.,)]/g)) {
    node.append(text.slice(at, m.index));
    const a = el('a', m[0]);
    a.href = m[0];
    a.target = '_blank';
    a.rel = 'noopener noreferrer';
    node.append(a);
    at = m.index + m[0].length;
  }
  node.append(text.slice(at));
}

// What the message itself offers to reply, as a phone would suggest it.
function suggestions(text) {
  return [...new Set([...text.matchAll(/\b(NO|NEIN|YES|JA) \d{6}\b/g)].map((m) => m[0]))];
}

function draw(s) {
  $('owner').textContent = (s.name || person) + '’s phone';
  const ours = s.messages.filter((m) => !m.in);
  $('lock-hint').hidden = ours.length > 0;
  $('notes').replaceChildren(...ours.slice(-3).reverse().map((m) => {
    const b = el('button', '', 'note');
    b.type = 'button';
    const head = el('b', 'Messages · ' + m.from);
    head.append(el('span', hm(m.at)));
    b.append(head, el('p', m.text));
    b.onclick = () => view('thread');
    return b;
  }));
  if (ours.length) $('sender').textContent = ours.at(-1).from;
  $('bubbles').replaceChildren(...s.messages.map((m) => {
    const b = el('div', '', m.in ? 'bubble me' : 'bubble');
    linked(b, m.text);
    b.append(el('time', hm(m.at)));
    return b;
  }));
  const last = s.messages.at(-1);
  $('chips').replaceChildren(...(last && !last.in ? suggestions(last.text) : []).map((t) => {
    const b = el('button', t);
    b.type = 'button';
    b.onclick = () => send(t);
    return b;
  }));
  if (s.messages.length !== seen) {
    seen = s.messages.length;
    $('bubbles').scrollTop = $('bubbles').scrollHeight;
  }
  $('agent-hint').hidden = $('curl').hidden = s.agent.length > 0;
  $('agent').replaceChildren(...s.agent.map((e) => {
    const li = el('li');
    li.dataset.what = e.what;
    li.append(el('time', hm(e.at)), el('span', e.text));
    if (e.body) li.append(el('pre', e.body));
    return li;
  }));
}

async function send(text) {
  $('failed').textContent = '';
  const r = await fetch('/dev/phone/reply?person=' + encodeURIComponent(person), { method: 'POST', body: new URLSearchParams({ text }) }).catch(() => null);
  if (!r || !r.ok) {
    const why = r ? (await r.json().catch(() => ({}))).message : '';
    $('failed').textContent = 'Not sent. ' + (why || 'The service does not answer.');
    return;
  }
  $('text').value = '';
}

$('compose').onsubmit = (e) => {
  e.preventDefault();
  if ($('text').value.trim()) send($('text').value.trim());
};
$('back').onclick = () => view('lock');
$('curl').textContent = `curl -u demo-agent:demo-secret-0000 ${location.origin}/bc-authorize \\\n  -d scope=openid -d login_hint=${person}`;
tick();
setInterval(tick, 5000);
new EventSource('/dev/phone/events?person=' + encodeURIComponent(person)).onmessage = (e) => draw(JSON.parse(e.data));
