// nodemailer with pool: true and messages that are ready (raw), which spares it composing them.
import { createRequire } from "node:module";
const [home, ...given] = process.argv.slice(2);
const options = {};
for (let i = 0; i < given.length; i += 2) options[given[i].slice(2)] = Number(given[i + 1]);
const { createTransport } = createRequire(`${home}/`)("nodemailer");

const sender = "noreply@bench.example", recipient = "bob@bench.example";
const raw = Buffer.from(
  `From: <${sender}>\r\nTo: <${recipient}>\r\nDate: Mon, 01 Jan 2024 00:00:00 +0000\r\n` +
    "Message-Id: <0001.0001@bench.example>\r\nSubject: from a benchmark\r\n\r\n" +
    ("X".repeat(78) + "\r\n").repeat(Math.floor(options.octets / 80)),
);
const transport = createTransport({
  host: "127.0.0.1", port: options.port, secure: false, ignoreTLS: true,
  pool: true, maxConnections: options.connections, maxMessages: Infinity,
});

let left = options.messages;
async function caller() {
  while (left-- > 0) await transport.sendMail({ envelope: { from: sender, to: [recipient] }, raw });
}

const started = process.hrtime.bigint(), used = process.cpuUsage();
await Promise.all(Array.from({ length: options.connections * 2 }, caller)); // so that one waits for each connection
const seconds = Number(process.hrtime.bigint() - started) / 1e9, cpu = process.cpuUsage(used);
console.log(JSON.stringify({ seconds, cpu: (cpu.user + cpu.system) / 1e6 }));
transport.close();
