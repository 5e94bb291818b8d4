/** How the mock sends JSON and errors. */

export function sendJson(response, status, body, headers = {}) {
  response.writeHead(status, { "content-type": "application/json", ...headers });
  response.end(JSON.stringify(body));
}

export function refuse(response, status, type, code, message, headers = {}) {
  sendJson(response, status, { error: { message, type, param: null, code } }, headers);
}
