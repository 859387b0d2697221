// The client without React; `clientId` is the page's.
declare const clientId: string;

import { WebSocketClient } from '@/services/websocket';

const ws = new WebSocketClient('/ws/engagement', clientId);
await ws.connect();

ws.on('engagement_update', (message) => {
  console.log('Engagement update:', message.data);
});

ws.disconnect();
