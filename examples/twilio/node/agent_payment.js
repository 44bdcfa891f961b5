// An agent's payment on a live call, with twilio-node: open, capture each field, complete.
//
//   TWILIO_ACCOUNT_SID=... TWILIO_AUTH_TOKEN=... PAYTONE_API=http://127.0.0.1:8080 \
//       node agent_payment.js CALL_SID STATUS_CALLBACK_URL
//
// It asks for the next field when a line comes on standard input: the caller has keyed the one before.
"use strict";
const readline = require("node:readline");
const {randomUUID} = require("node:crypto");
const twilio = require("twilio");

const [callSid, statusCallback] = process.argv.slice(2);
const client = twilio(process.env.TWILIO_ACCOUNT_SID, process.env.TWILIO_AUTH_TOKEN);
client.api.baseUrl = process.env.PAYTONE_API;

async function main() {
  const common = () => ({idempotencyKey: randomUUID(), statusCallback});
  const payments = client.calls(callSid).payments;
  const payment = await payments.create({...common(), chargeAmount: 25.0, postalCode: false});
  console.log(`opened ${payment.sid}`);
  // In 6.2.0 update() of the returned object throws: go by the resource.
  const update = change => client.calls(callSid).payments(payment.sid).update({...common(), ...change});
  const lines = readline.createInterface({input: process.stdin})[Symbol.asyncIterator]();
  for (const capture of ["payment-card-number", "expiration-date", "security-code"]) {
    await update({capture});
    console.log(`capture ${capture}`);
    await lines.next();
  }
  await update({status: "complete"});
  console.log("complete");
  process.exit(0);
}

main().catch(error => {
  console.error(`${error.code || ""} ${error.message}`);
  process.exit(1);
});
