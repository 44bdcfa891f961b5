// A donation line: <Pay> with twilio-node, on Node's own HTTP server.
//
//   npm install && TWILIO_AUTH_TOKEN=... node pay_app.js 5000
"use strict";
const http = require("node:http");
const twilio = require("twilio");

const token = process.env.TWILIO_AUTH_TOKEN;
const outcomes = [];

function voice() {
  const response = new twilio.twiml.VoiceResponse();
  const pay = response.pay({
    chargeAmount: "25.00", currency: "usd", description: "Donation", action: "/paid", statusCallback: "/step",
    validCardTypes: ["visa", "mastercard"], postalCode: "94105",
  });
  pay.prompt({for: "payment-card-number", attempt: [2, 3]}).say("Please try once more.");
  pay.parameter({name: "campaign", value: "winter"});
  return response.toString();
}

function paid(form) {
  outcomes.push(form);
  const response = new twilio.twiml.VoiceResponse();
  response.say(form.Result === "success" ? "Thank you for your donation." : "We could not take the payment.");
  return response.toString();
}

const server = http.createServer((request, answer) => {
  const parts = [];
  request.on("data", part => parts.push(part));
  request.on("end", () => {
    if (request.url === "/outcomes") {
      answer.setHeader("Content-Type", "application/json");
      answer.end(JSON.stringify(outcomes));
      return;
    }
    const form = Object.fromEntries(new URLSearchParams(Buffer.concat(parts).toString()));
    const url = `http://${request.headers.host}${request.url}`;
    if (!twilio.validateRequest(token, request.headers["x-twilio-signature"] || "", url, form)) {
      answer.statusCode = 403;
      answer.end("wrong signature");
      return;
    }
    const documents = {"/voice": voice, "/paid": paid};
    answer.setHeader("Content-Type", "text/xml");
    answer.end(request.url in documents ? documents[request.url](form) : "");
  });
});
server.listen(Number(process.argv[2] || 5000), "127.0.0.1", () => console.log(`ready ${server.address().port}`));
