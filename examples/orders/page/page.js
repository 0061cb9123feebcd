'use strict';

const find = (id) => document.getElementById(id);
const money = (cents) => (cents / 100).toLocaleString('en', { minimumFractionDigits: 2 });

// seen is the last event that this page knows of: what it asks for is to show that one.
let seen = '';

// request sends JSON and gives JSON. What changes something has a key, and is sent again
// with the same key when no answer came, or when the answer says so.
async function request(method, path, body) {
  const headers = {};
  if (method === 'POST') {
    headers['Content-Type'] = 'application/json';
    headers['Idempotency-Key'] = Array.from(crypto.getRandomValues(new Uint32Array(4)), (n) => n.toString(16)).join('-');
  }
  for (let tries = 1; ; tries++) {
    let response;
    try {
      response = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
    } catch (error) {
      if (tries === 5) throw new Error('the shop cannot be reached');
    }
    if (response && (!response.headers.has('Retry-After') || tries === 5)) {
      const answer = await response.json();
      if (!response.ok) throw Object.assign(new Error(answer.error), { status: response.status });
      return answer;
    }
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}

// change asks for something, and then shows what came of it.
async function change(path, body, done) {
  try {
    const answer = await request('POST', path, body);
    if (answer.sequence_id > seen) seen = answer.sequence_id;
    say(done(answer));
  } catch (error) {
    say(error.message, true);
  }
  refresh();
}

function say(text, isError) {
  find('message').textContent = text;
  find('message').className = isError ? 'error' : '';
}

// The wallets that were opened here, the chosen one first. There is no login.
let wallets = JSON.parse(localStorage.getItem('wallets') || '[]');

function keepWallets(kept) {
  wallets = kept;
  localStorage.setItem('wallets', JSON.stringify(wallets));
  showWallets();
}

const without = (id) => wallets.filter((wallet) => wallet.id !== id);
const chooseWallet = (wallet) => keepWallets([wallet, ...without(wallet.id)]);
const forgetWallet = (id) => keepWallets(without(id));

function showWallets() {
  find('wallets').replaceChildren(...wallets.map((wallet) => new Option(wallet.email, wallet.id)));
}

function element(name, className, ...children) {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

function button(text, action) {
  const made = element('button', 'quiet', text);
  made.addEventListener('click', action);
  return made;
}

let catalogue = [];

async function showCatalogue() {
  catalogue = await request('GET', 'catalogue');
  find('catalogue').replaceChildren(...catalogue.map((product) => {
    const quantity = document.createElement('input');
    Object.assign(quantity, { type: 'number', name: product.id, min: 0, max: 100, defaultValue: 0 });
    quantity.setAttribute('aria-label', product.name);
    return element('tr', '', element('td', '', product.name), element('td', 'amount', money(product.price)), element('td', 'amount', quantity));
  }));
}

const nameOf = (id) => (catalogue.find((product) => product.id === id) || { name: id }).name;

function orderRow(order) {
  const actions = element('td', 'nowrap');
  if (order.state === 'paid') {
    actions.append(button('Ship', () => change(`orders/${order.id}/ship`, undefined, () => 'The order is on its way.')), ' ');
  }
  if (order.state === 'placed' || order.state === 'paid') {
    actions.append(button('Cancel', () => change(`orders/${order.id}/cancel`, undefined, () => 'The order is cancelled.')));
  }
  const link = element('a', '', order.id.slice(-6));
  link.href = `orders/${order.id}`;
  const products = order.lines.map((line) => `${line.quantity} × ${nameOf(line.product)}`).join('; ');
  const state = element('td', '', element('span', 'state ' + order.state, order.state));
  if (order.reason) state.append(element('div', 'hint', order.reason));
  return element('tr', '', element('td', 'nowrap', new Date(order.placed_at).toLocaleTimeString('en-GB')), element('td', '', link),
    element('td', '', products), element('td', 'amount', money(order.total)), state, actions);
}

let shown = '';

function showOrders(orders) {
  const text = JSON.stringify(orders);
  if (text === shown) return; // a button that is being clicked stays
  shown = text;
  find('orders').replaceChildren(...orders.map(orderRow));
  find('no-orders').hidden = orders.length > 0;
}

function showLedger(ledger) {
  find('bank').textContent = money(ledger.bank);
  find('wallets-sum').textContent = money(ledger.wallets);
  find('sales').textContent = money(ledger.sales);
  find('sum').textContent = money(ledger.sum);
  find('sum').classList.toggle('error', ledger.sum !== 0);
}

async function showBalance() {
  if (wallets.length === 0) return;
  const [{ id }] = wallets;
  try {
    find('balance').textContent = money((await request('GET', 'wallets/' + id)).balance);
  } catch (error) {
    if (error.status !== 404) throw error;
    forgetWallet(id); // the database is another one
  }
}

let failing = false;

async function refresh() {
  try {
    const after = seen ? '?after=' + seen : '';
    const [orders, ledger] = await Promise.all([request('GET', 'orders' + after), request('GET', 'ledger' + after)]);
    showOrders(orders);
    showLedger(ledger);
    await showBalance();
    if (failing) say('');
    failing = false;
  } catch (error) {
    say(error.message, true);
    failing = true;
  }
}

// refreshForever looks once a second: projections, and other people, change things too.
async function refreshForever() {
  await refresh();
  setTimeout(refreshForever, 1000);
}

find('open-wallet').addEventListener('submit', (event) => {
  event.preventDefault();
  const email = event.target.email.value;
  change('wallets', { email }, (answer) => {
    chooseWallet({ id: answer.id, email });
    event.target.reset();
    return 'The wallet is open.';
  });
});

find('wallets').addEventListener('change', (event) => {
  chooseWallet(wallets.find((wallet) => wallet.id === event.target.value));
  refresh();
});

find('deposit').addEventListener('submit', (event) => {
  event.preventDefault();
  if (wallets.length === 0) return say('Open a wallet first.', true);
  const amount = Math.round(event.target.amount.value * 100);
  change(`wallets/${wallets[0].id}/deposits`, { amount }, () => `${money(amount)} went into the wallet.`);
});

find('place-order').addEventListener('submit', (event) => {
  event.preventDefault();
  if (wallets.length === 0) return say('Open a wallet first.', true);
  const items = catalogue
    .map((product) => ({ product: product.id, quantity: Number(event.target.elements[product.id].value) }))
    .filter((item) => item.quantity > 0);
  if (items.length === 0) return say('Choose something from the catalogue.', true);
  change('orders', { wallet_id: wallets[0].id, items }, () => {
    event.target.reset();
    return 'The order is placed.';
  });
});

showWallets();
showCatalogue().then(refreshForever, (error) => say(error.message, true));
