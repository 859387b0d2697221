import { useClientEngagementWebSocket } from '@/hooks/useWebSocket';

function EngagementDashboard({ clientId }: { clientId: string }) {
  const {
    isConnected,
    latestEngagementData,
    connectionError
  } = useClientEngagementWebSocket(clientId);

  return (
    <div>
      <div>Status: {isConnected ? ' Connected' : ' Disconnected'}</div>
      {connectionError && <div>Error: {connectionError}</div>}
      
      {latestEngagementData && (
        <div>
          <h3>Latest Update</h3>
          <pre>{JSON.stringify(latestEngagementData, null, 2)}</pre>
        </div>
      )}
    </div>
  );
}

export { EngagementDashboard };
